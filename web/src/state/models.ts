/** The models on the server's shelf, as fields ask about them: what family each is of, and which one is wired here. */

import { create } from "zustand";
import { specOf } from "../document/specs";
import { literal, wiresOf } from "../document/wires";
import { api } from "../protocol/http";
import type { GraphJson, ModelRow } from "../protocol/types";
import { specsNow } from "./catalogue";
import { documentNow, graphNow } from "./document";

const FRESH = 60_000;

interface ModelsState {
  rows: Record<string, ModelRow[]>;
  at: number;
}

export const useModels = create<ModelsState>(() => ({ rows: {}, at: 0 }));

/** The list, asked for again when it is old. Where there is none, nothing is known of any family. */
export async function loadModels(): Promise<void> {
  if (Date.now() - useModels.getState().at < FRESH) return;
  useModels.setState({ at: Date.now() });
  await api.models().then(
    (rows) => useModels.setState({ rows }),
    () => useModels.setState({ at: 0 }),
  );
}

export const modelRow = (kind: string, name: string): ModelRow | undefined => useModels.getState().rows[kind]?.find((row) => row.name === name);

const WHOLE = ["checkpoints", "diffusion_models"];

/** The model that a node works with: the first whole one among all that it hangs together with by wires. */
export function wiredModel(node: string, graph: GraphJson = graphNow()): { node: string; row: ModelRow } | null {
  const beside = new Map<string, string[]>();
  for (const wire of wiresOf(graph)) {
    beside.set(wire.node, [...(beside.get(wire.node) ?? []), wire.from.node]);
    beside.set(wire.from.node, [...(beside.get(wire.from.node) ?? []), wire.node]);
  }
  const seen = new Set([node]);
  for (const here of seen) {
    const json = graph.nodes[here];
    for (const input of (json && specOf(json, documentNow(), specsNow())?.inputs) ?? []) {
      const kind = input.widget?.models ?? "";
      if (input.widget?.kind !== "model" || !WHOLE.includes(kind)) continue;
      const name = literal(json?.inputs[input.name]) ?? input.default;
      const row = WHOLE.map((one) => modelRow(one, String(name))).find((found) => found?.family);
      if (row) return { node: here, row };
    }
    for (const next of beside.get(here) ?? []) seen.add(next);
  }
  return null;
}

/** Why a model does not go with the one that is wired; null where it does, or where nobody knows. */
export function misfit(row: ModelRow, wired: { row: ModelRow } | null): { family: string; wanted: string } | null {
  const wanted = wired?.row.family ?? "";
  const family = row.fits || row.family || "";
  return wanted && family && !alike(family, wanted) ? { family, wanted } : null;
}

/** Families of one architecture go together (sd1 and its inpainting kin); a list of several fits each of them. */
function alike(family: string, wanted: string): boolean {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, "");
  return family.split(/,| or | and /).some((one) => plain(one) !== "" && (plain(wanted).startsWith(plain(one)) || plain(one).startsWith(plain(wanted))));
}
