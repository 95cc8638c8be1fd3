import { create } from "zustand";
import type { Problem, Spot, TypeJson } from "../protocol/types";

export type Panel = "sweep" | "cull" | "workflows" | "models" | "history" | "queue" | "problems" | "form" | "steps" | "settings";

export interface Wiring {
  node: string;
  handle: string;
  type: "source" | "target";
  carries: TypeJson;
  /** All wires of this output are held, to begin at another. */
  many?: boolean;
}

/** What a palette is opened for: a place on the canvas, and perhaps the wire that was dropped there. */
export interface PaletteRequest {
  at: Spot;
  wire?: Wiring;
  /** The new node goes between these two; `why` says what would not fit without it. */
  between?: { from: { node: string; output: string }; to: { node: string; slot: string }; why?: string };
  /** The new node takes the place of this one. */
  replace?: string;
}

/** One row of a menu; `null` is a line between two groups. */
export type MenuRow = { label: string; keys?: string; run: () => void; disabled?: boolean } | null;

/** A socket whose wire is being made with the keyboard. */
export interface Linking {
  node: string;
  slot: string;
  side: "source" | "target";
}

export interface Toast {
  id: number;
  text: string;
  kind: "info" | "error";
  action?: { label: string; run: () => void };
}

/** A picture that is looked at; with its job, its graph can be had again. */
export interface Seen {
  url: string;
  label: string;
  job?: string;
  item?: number | null;
  blob?: string;
  /** The node of the open graph that gives it. */
  node?: string;
}

export interface Viewing {
  pictures: Seen[];
  at: number;
  against?: number;
  /** They are of the run that is shown: its steps can be gone through. */
  film?: boolean;
}

/** An input of a node in the open graph, and where on the screen it is asked about. */
export interface FieldMenu {
  node: string;
  input: string;
  x: number;
  y: number;
}

export interface TrailAsk {
  node: string;
  input: string;
  box: { left: number; top: number; right: number; bottom: number };
  /** Asked for outright: it says so when there is nothing. */
  pinned?: boolean;
}

/** One line of text that is asked for. */
export interface Asking {
  label: string;
  value: string;
  done: (text: string) => void;
}

/** A picture to paint a mask over, and the node that gives it. */
export interface Painting {
  node: string;
  title: string;
  url: string;
  /** A mask to begin with. */
  begin?: string;
}

interface UiState {
  selected: string[];
  panel: Panel | null;
  palette: PaletteRequest | null;
  commands: boolean;
  cheatSheet: boolean;
  viewing: Viewing | null;
  painting: Painting | null;
  /** The job with items whose sheet is open. */
  sheet: string | null;
  /** The workflows to begin with, to choose from. */
  templates: boolean;
  /** Every picture that was made, over the canvas. */
  gallery: boolean;
  fieldMenu: FieldMenu | null;
  /** The form alone fills the page: an address of its own, for who only wants pictures. */
  page: boolean;
  /** How many pictures the next run makes, each of a seed of its own. */
  count: number;
  /** Items of one run go through the model together. */
  sharing: boolean;
  /** Run by itself after every edit. */
  live: boolean;
  trail: TrailAsk | null;
  /** The node type whose help is read. */
  helping: string | null;
  /** The prompt that is written in the large view. */
  prompting: { node: string; input: string } | null;
  theme: "dark" | "light";
  minimap: boolean;
  toasts: Toast[];
  /** The wire that is being dragged: sockets that cannot take it are greyed. */
  wiring: Wiring | null;
  /** Edges along the path under the pointer. */
  lit: ReadonlySet<string>;
  menu: { at: Spot; label: string; rows: MenuRow[] } | null;
  linking: Linking | null;
  /** The next drag over the canvas cuts the wires it crosses. */
  cutting: boolean;
  /** The wire that the dragged node would go into. */
  splicing: string | null;
  /** The note or the frame whose words are being written. */
  writing: string | null;
  /** Looking for a node. */
  finding: boolean;
  asking: Asking | null;
  /** A box selects what it touches, or only what it holds. */
  touching: boolean;
  /** The wheel moves the view, or zooms. */
  wheelPans: boolean;
  set(patch: Partial<UiState>): void;
  togglePanel(panel: Panel): void;
  toast(text: string, kind?: Toast["kind"], action?: Toast["action"], stays?: number): void;
  dismiss(id: number): void;
}

export const recall = (key: string): string | null => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage may be switched off
  }
};

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // then it is not remembered
  }
}

let toasts = 0;

export const useUi = create<UiState>((set, get) => ({
  selected: [],
  panel: null,
  palette: null,
  commands: false,
  cheatSheet: false,
  viewing: null,
  painting: null,
  sheet: null,
  templates: false,
  gallery: false,
  fieldMenu: null,
  page: false,
  count: 1,
  sharing: recall("weft.sharing") === "on",
  live: false,
  trail: null,
  helping: null,
  prompting: null,
  theme: recall("weft.theme") === "light" ? "light" : "dark",
  minimap: recall("weft.minimap") !== "off",
  toasts: [],
  wiring: null,
  lit: new Set(),
  menu: null,
  linking: null,
  cutting: false,
  splicing: null,
  writing: null,
  finding: false,
  asking: null,
  touching: recall("weft.box") !== "holds",
  wheelPans: recall("weft.wheel") === "pans",
  set: (patch) => set(patch),
  togglePanel: (panel) => set({ panel: get().panel === panel ? null : panel }),
  toast: (text, kind = "info", action, stays = kind === "error" ? 12_000 : 5000) => {
    const id = ++toasts;
    set((state) => ({ toasts: [...state.toasts.slice(-3), { id, text, kind, action }] }));
    setTimeout(() => get().dismiss(id), stays);
  },
  dismiss: (id) => set((state) => ({ toasts: state.toasts.filter((toast) => toast.id !== id) })),
}));

export const say = (text: string, action?: Toast["action"], stays?: number): void => useUi.getState().toast(text, "info", action, stays);
export const complain = (problems: Problem[] | string): void => {
  if (typeof problems === "string") return useUi.getState().toast(problems, "error");
  for (const problem of problems.slice(0, 2)) {
    const spot = [problem.where?.path, problem.where?.socket].filter(Boolean).join(".");
    const next = problem.mend?.text ? ` → ${problem.mend.text}` : "";
    useUi.getState().toast(`${spot ? `${spot}: ` : ""}${problem.message}${next}`, "error");
  }
};
