import { create } from "zustand";
import { index, type Specs } from "../document/specs";
import type { Catalogue } from "../protocol/types";

interface CatalogueState {
  specs: Specs;
  loaded: boolean;
  packs: Catalogue["packs"];
  load(catalogue: Catalogue): void;
}

export const useCatalogue = create<CatalogueState>((set) => ({
  specs: index({ nodes: [], types: [], packs: [], connect: {} }),
  loaded: false,
  packs: [],
  load: (catalogue) => set({ specs: index(catalogue), packs: catalogue.packs, loaded: true }),
}));

export const specsNow = (): Specs => useCatalogue.getState().specs;
