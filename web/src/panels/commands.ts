/** Every command once: keys, command palette and cheat-sheet read the same table. */

import { collapse, copy, disconnect, group, move, paste, removeNodes, setMode, type Clip } from "../document/operations";
import type { Spot } from "../protocol/types";
import { layered } from "../canvas/layout";
import { toggleMinimap } from "../canvas/Canvas";
import { download, interrupt, run, save } from "../state/actions";
import { specsNow } from "../state/catalogue";
import { canvas } from "../state/canvas";
import { documentNow, graphNow, perform, scopeNow, tabNow, useDocument } from "../state/document";
import { complain, remember, say, useUi } from "../state/ui";
import { spotFor } from "../canvas/layout";
import { EMPTY } from "../document/operations";

export interface CommandRow {
  id: string;
  title: string;
  group: "Run" | "Edit" | "View" | "File" | "Help";
  /** As `Ctrl+Shift+E`; Ctrl stands for Cmd on a Mac. */
  keys?: string[];
  run: () => void;
  /** Works while a text field has the focus, too. */
  anywhere?: boolean;
}

const ui = () => useUi.getState();
const nodesChosen = (): string[] => ui().selected.filter((id) => graphNow().nodes[id]);

function spots(names: string[]): Record<string, Spot> {
  return Object.fromEntries(names.map((name) => [name, spotFor(documentNow(), scopeNow(), name)]));
}

function needs(names: string[], verb: string): boolean {
  if (!names.length) say(`select a node to ${verb}`);
  return names.length > 0;
}

export function deleteSelected(): void {
  const chosen = ui().selected;
  const wires = chosen.filter((id) => id.includes("|")).map((id) => ({ node: id.slice(0, id.indexOf("|")), slot: id.slice(id.indexOf("|") + 1) }));
  if (wires.length) perform(disconnect(documentNow(), scopeNow(), wires));
  const names = nodesChosen();
  if (names.length) perform(removeNodes(documentNow(), scopeNow(), names));
  ui().set({ selected: [] });
}

let clip: Clip | null = null; // plain http has no clipboard to read: what was copied here is kept here, too

export function copySelected(): string | null {
  const names = nodesChosen();
  if (!names.length) return null;
  clip = copy(documentNow(), scopeNow(), names, spots(names));
  return JSON.stringify(clip);
}

export function pasteText(text: string | null, withWires: boolean): boolean {
  let held = clip;
  if (text) {
    try {
      const record = JSON.parse(text) as Clip;
      if (record.weft === "clip" && typeof record.nodes === "object") held = record;
    } catch {
      // not ours: what was copied here last is
    }
  }
  if (!held) return false;
  const made = paste(documentNow(), scopeNow(), held, canvas().pointer(), withWires);
  perform(made);
  ui().set({ selected: made.names });
  return true;
}

function duplicate(): void {
  const names = nodesChosen();
  if (!needs(names, "duplicate it")) return;
  const held = spots(names);
  const at = { x: Math.min(...names.map((n) => held[n]?.x ?? 0)) + 32, y: Math.min(...names.map((n) => held[n]?.y ?? 0)) + 32 };
  const made = paste(documentNow(), scopeNow(), copy(documentNow(), scopeNow(), names, held), at, true);
  perform(made);
  ui().set({ selected: made.names });
}

export function saveAsk(): void {
  const tab = tabNow();
  if (tab.name && !tab.name.startsWith("template:")) void save();
  else ui().set({ panel: "workflows" });
}

export function makeGroup(): void {
  const names = nodesChosen();
  if (!needs(names, "put it into a sub-graph")) return;
  const made = group(documentNow(), scopeNow(), names, spots(names));
  if (!made) return complain("one growing input is wired half from inside, half from outside: select its other sources too");
  perform(made);
  ui().set({ selected: [made.name] });
}

function mode(kind: "mute" | "bypass"): void {
  const names = nodesChosen();
  if (needs(names, `${kind} it`)) perform(setMode(documentNow(), scopeNow(), names, kind));
}

export function toggleTheme(): void {
  const theme = ui().theme === "dark" ? "light" : "dark";
  remember("weft.theme", theme);
  ui().set({ theme });
}

export const COMMANDS: CommandRow[] = [
  { id: "run", title: "Run", group: "Run", keys: ["Ctrl+Enter"], anywhere: true, run: () => void run() },
  { id: "run-first", title: "Run before all that waits", group: "Run", keys: ["Ctrl+Shift+Enter"], anywhere: true, run: () => void run({ first: true }) },
  {
    id: "run-here",
    title: "Run up to the selected nodes",
    group: "Run",
    run: () => {
      const names = nodesChosen();
      if (needs(names, "run up to it")) void run({ targets: names });
    },
  },
  { id: "interrupt", title: "Stop the running job", group: "Run", keys: ["Ctrl+Alt+Enter"], anywhere: true, run: () => void interrupt() },
  { id: "again", title: "Run and save again what is saved already", group: "Run", run: () => void run({ again: true }) },
  { id: "undo", title: "Undo", group: "Edit", keys: ["Ctrl+Z"], run: () => useDocument.getState().undo() },
  { id: "redo", title: "Redo", group: "Edit", keys: ["Ctrl+Shift+Z", "Ctrl+Y"], run: () => useDocument.getState().redo() },
  {
    id: "add",
    title: "Add a node",
    group: "Edit",
    keys: ["Space", "Tab", "Shift+A"],
    run: () => ui().set({ palette: { at: canvas().pointer() } }),
  },
  { id: "delete", title: "Delete", group: "Edit", keys: ["Delete", "Backspace"], run: deleteSelected },
  { id: "duplicate", title: "Duplicate", group: "Edit", keys: ["Ctrl+D"], run: duplicate },
  { id: "all", title: "Select all", group: "Edit", keys: ["Ctrl+A"], run: () => ui().set({ selected: Object.keys(graphNow().nodes) }) },
  { id: "bypass", title: "Bypass", group: "Edit", keys: ["Ctrl+B"], run: () => mode("bypass") },
  { id: "mute", title: "Mute", group: "Edit", keys: ["Ctrl+M"], run: () => mode("mute") },
  {
    id: "collapse",
    title: "Fold or unfold",
    group: "Edit",
    keys: ["Alt+C"],
    run: () => {
      const names = nodesChosen();
      if (needs(names, "fold it")) perform(collapse(documentNow(), scopeNow(), names));
    },
  },
  { id: "group", title: "Make a sub-graph", group: "Edit", keys: ["Ctrl+Shift+E"], run: makeGroup },
  { id: "leave", title: "Leave the sub-graph", group: "View", run: () => useDocument.getState().leave(tabNow().trail.length - 1) },
  { id: "fit", title: "Show the whole graph", group: "View", keys: ["."], run: () => canvas().fit(nodesChosen()) },
  {
    id: "layout",
    title: "Lay the graph out",
    group: "View",
    keys: ["Shift+L"],
    run: () => {
      perform({ ...move(scopeNow(), layered(documentNow(), scopeNow(), specsNow())), label: "lay out" });
      requestAnimationFrame(() => canvas().fit());
    },
  },
  { id: "minimap", title: "Show or hide the map", group: "View", keys: ["Alt+Shift+M"], run: toggleMinimap },
  { id: "theme", title: "Dark or light", group: "View", run: toggleTheme },
  { id: "workflows", title: "Workflows and templates", group: "File", keys: ["Ctrl+O"], anywhere: true, run: () => ui().togglePanel("workflows") },
  { id: "save", title: "Save", group: "File", keys: ["Ctrl+S"], anywhere: true, run: saveAsk },
  { id: "download", title: "Download as a file", group: "File", run: download },
  { id: "new", title: "New workflow", group: "File", run: () => useDocument.getState().open({ ...EMPTY, title: "Untitled" }, "") },
  { id: "history", title: "History", group: "View", keys: ["H"], run: () => ui().togglePanel("history") },
  { id: "queue", title: "Queue", group: "View", keys: ["Q"], run: () => ui().togglePanel("queue") },
  { id: "models", title: "Models", group: "View", run: () => ui().togglePanel("models") },
  { id: "form", title: "The workflow as a form", group: "View", keys: ["F"], run: () => ui().togglePanel("form") },
  { id: "commands", title: "All commands", group: "Help", keys: ["Ctrl+K"], anywhere: true, run: () => ui().set({ commands: true }) },
  { id: "keys", title: "Keys", group: "Help", keys: ["?"], run: () => ui().set({ cheatSheet: true }) },
];

export const commandById = (id: string): CommandRow => COMMANDS.find((row) => row.id === id) as CommandRow;

/** The keys of an event as the table writes them. */
export function keysOf(event: { key: string; code?: string; ctrlKey: boolean; metaKey: boolean; shiftKey: boolean; altKey: boolean }): string {
  const printable = event.key.length === 1;
  const key = event.key === " " ? "Space" : event.altKey && event.code?.startsWith("Key") ? event.code.slice(3) : printable ? event.key.toUpperCase() : event.key;
  const letter = /^[A-Z]$/.test(key);
  return [
    event.ctrlKey || event.metaKey ? "Ctrl" : "",
    event.altKey ? "Alt" : "",
    event.shiftKey && (letter || !printable || key === "Space") ? "Shift" : "",
    key,
  ]
    .filter(Boolean)
    .join("+");
}
