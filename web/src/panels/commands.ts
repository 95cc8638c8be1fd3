/** Every command once: keys, command palette, menus and cheat-sheet read the same table. */

import { toggleMinimap } from "../canvas/Canvas";
import { EMPTY } from "../document/operations";
import { download, interrupt, run, save } from "../state/actions";
import { canvas } from "../state/canvas";
import { tabNow, useDocument } from "../state/document";
import { prefer, setLanguage } from "../state/preferences";
import { say, useUi } from "../state/ui";
import { languageNow, t, type Text } from "../words";
import * as edit from "./edit";
import * as going from "./going";
import { free } from "./settings/Storage";

export interface CommandRow {
  id: string;
  title: Text;
  group: "Run" | "Edit" | "Arrange" | "View" | "File" | "Help";
  /** As `Ctrl+Shift+E`; Ctrl stands for Cmd on a Mac. */
  keys?: string[];
  /** Gets the keys it was called with. */
  run: (keys?: string) => void;
  /** How its keys are shown, where they are a range. */
  shown?: string;
  /** Works while a text field has the focus, too. */
  anywhere?: boolean;
}

const DIGITS = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
const ui = () => useUi.getState();

export function saveAsk(): void {
  const tab = tabNow();
  if (tab.name && !tab.name.startsWith("template:")) void save();
  else ui().set({ panel: "workflows" });
}

export function toggleTheme(): void {
  prefer({ theme: ui().theme === "dark" ? "light" : "dark" });
}

const otherLanguage = (): void => setLanguage(languageNow() === "de" ? "en" : "de");

function cut(): void {
  ui().set({ cutting: true });
  say(t("Drag over the wires to cut."));
}

export const COMMANDS: CommandRow[] = [
  { id: "run", title: "Run", group: "Run", keys: ["Ctrl+Enter"], anywhere: true, run: () => void run() },
  { id: "run-first", title: "Run before all that waits", group: "Run", keys: ["Ctrl+Shift+Enter"], anywhere: true, run: () => void run({ first: true }) },
  { id: "run-here", title: "Run up to the selected nodes", group: "Run", keys: ["Alt+Enter"], run: edit.runMeant },
  { id: "interrupt", title: "Stop the running job", group: "Run", keys: ["Ctrl+Alt+Enter"], anywhere: true, run: () => void interrupt() },
  { id: "again", title: "Run and save again what is saved already", group: "Run", run: () => void run({ again: true }) },
  { id: "undo", title: "Undo", group: "Edit", keys: ["Ctrl+Z"], run: () => useDocument.getState().undo() },
  { id: "redo", title: "Redo", group: "Edit", keys: ["Ctrl+Shift+Z", "Ctrl+Y"], run: () => useDocument.getState().redo() },
  { id: "add", title: "Add a node", group: "Edit", keys: ["Space", "Tab", "Shift+A"], run: () => ui().set({ palette: { at: canvas().pointer() } }) },
  { id: "note", title: "Add a note", group: "Edit", keys: ["N"], run: () => edit.note() },
  { id: "delete", title: "Delete", group: "Edit", keys: ["Delete", "Backspace"], run: edit.deleteSelected },
  { id: "duplicate", title: "Duplicate", group: "Edit", keys: ["Ctrl+D"], run: edit.duplicate },
  { id: "rename", title: "Title", group: "Edit", keys: ["F2"], run: going.writeTitle },
  { id: "take-out", title: "Take out and join the wires", group: "Edit", keys: ["Ctrl+Delete", "Ctrl+Backspace"], run: edit.takeOut },
  { id: "steps", title: "Edits, to go back to any", group: "Edit", keys: ["U"], run: () => ui().togglePanel("steps") },
  { id: "find", title: "Find a node", group: "Edit", keys: ["Ctrl+F"], anywhere: true, run: () => ui().set({ finding: true }) },
  { id: "replace", title: "Replace by another node…", group: "Edit", keys: ["R"], run: edit.replace },
  { id: "all", title: "Select all", group: "Edit", keys: ["Ctrl+A"], run: () => ui().set({ selected: canvas().all() }) },
  { id: "before", title: "Select what feeds it", group: "Edit", keys: ["["], run: () => edit.selectAlong("before") },
  { id: "after", title: "Select what comes of it", group: "Edit", keys: ["]"], run: () => edit.selectAlong("after") },
  { id: "same", title: "Select all of the same type", group: "Edit", keys: ["Shift+G"], run: going.selectSame },
  { id: "others", title: "Select the others", group: "Edit", keys: ["Ctrl+I"], run: going.selectOthers },
  { id: "box", title: "A box selects what it touches, or holds", group: "Edit", run: going.boxTouches },
  { id: "bypass", title: "Bypass", group: "Edit", keys: ["Ctrl+B"], run: () => edit.mode("bypass") },
  { id: "mute", title: "Mute", group: "Edit", keys: ["Ctrl+M"], run: () => edit.mode("mute") },
  { id: "collapse", title: "Fold or unfold", group: "Edit", keys: ["Alt+C"], run: edit.fold },
  { id: "cut-wires", title: "Cut wires with a drag", group: "Edit", keys: ["Y"], run: cut },
  { id: "unwire", title: "Cut all wires of the selected nodes", group: "Edit", keys: ["Shift+Y"], run: edit.unwire },
  { id: "stubs", title: "Wires as named stubs, and back", group: "Edit", keys: ["Alt+S"], run: edit.stubs },
  { id: "frame", title: "Frame around the selection", group: "Arrange", keys: ["Ctrl+G"], run: edit.frame },
  { id: "tint", title: "Another colour", group: "Arrange", keys: ["C"], run: edit.tint },
  { id: "group", title: "Make a sub-graph", group: "Arrange", keys: ["Ctrl+Shift+E"], run: edit.makeGraph },
  { id: "unpack", title: "Unpack the sub-graph", group: "Arrange", keys: ["Ctrl+Shift+U"], run: edit.unpack },
  { id: "layout", title: "Lay out the graph or the selection", group: "Arrange", keys: ["Shift+L"], run: edit.layOut },
  { id: "align-left", title: "Align left edges", group: "Arrange", keys: ["Alt+Shift+ArrowLeft"], run: () => edit.alignAt("left") },
  { id: "align-right", title: "Align right edges", group: "Arrange", keys: ["Alt+Shift+ArrowRight"], run: () => edit.alignAt("right") },
  { id: "align-top", title: "Align top edges", group: "Arrange", keys: ["Alt+Shift+ArrowUp"], run: () => edit.alignAt("top") },
  { id: "align-bottom", title: "Align bottom edges", group: "Arrange", keys: ["Alt+Shift+ArrowDown"], run: () => edit.alignAt("bottom") },
  { id: "align-centre", title: "Align centres in a column", group: "Arrange", run: () => edit.alignAt("centre") },
  { id: "align-middle", title: "Align middles in a row", group: "Arrange", run: () => edit.alignAt("middle") },
  { id: "spread-x", title: "Equal gaps across", group: "Arrange", run: () => edit.spread("x") },
  { id: "spread-y", title: "Equal gaps down", group: "Arrange", run: () => edit.spread("y") },
  { id: "leave", title: "Leave the sub-graph", group: "View", run: () => useDocument.getState().leave(tabNow().trail.length - 1) },
  { id: "fit", title: "Show the whole graph", group: "View", keys: ["."], run: () => canvas().fit(edit.nodesChosen()) },
  { id: "nearer", title: "Nearer", group: "View", keys: ["+", "="], run: () => canvas().zoom(1.25) },
  { id: "farther", title: "Farther", group: "View", keys: ["-"], run: () => canvas().zoom(0.8) },
  { id: "full-size", title: "Full size", group: "View", keys: ["0"], run: () => canvas().look({ ...canvas().view(), zoom: 1 }) },
  { id: "go-mark", title: "To a kept view", group: "View", keys: DIGITS, shown: "1 … 9", run: (keys = "1") => going.goToMark(keys) },
  { id: "mark", title: "Keep this view", group: "View", keys: DIGITS.map((digit) => `Alt+${digit}`), shown: "Alt+1 … 9", run: (keys = "1") => going.markView(keys) },
  { id: "wheel", title: "The wheel moves the view, or zooms", group: "View", run: going.wheelPans },
  { id: "minimap", title: "Show or hide the map", group: "View", keys: ["Alt+Shift+M"], run: toggleMinimap },
  { id: "language", title: "Speak German", group: "View", run: otherLanguage },
  { id: "theme", title: "Dark or light", group: "View", run: toggleTheme },
  { id: "workflows", title: "Workflows and templates", group: "File", run: () => ui().togglePanel("workflows") },
  { id: "templates", title: "Open a workflow or template…", group: "File", keys: ["Ctrl+O"], anywhere: true, run: () => ui().set({ templates: true }) },
  { id: "save", title: "Save", group: "File", keys: ["Ctrl+S"], anywhere: true, run: saveAsk },
  { id: "download", title: "Download as a file", group: "File", run: download },
  { id: "new", title: "New workflow", group: "File", run: () => useDocument.getState().open({ ...EMPTY, title: "Untitled" }, "") },
  { id: "history", title: "History", group: "View", keys: ["H"], run: () => ui().togglePanel("history") },
  { id: "gallery", title: "Gallery", group: "View", keys: ["G"], run: () => ui().set({ gallery: !ui().gallery, sheet: null }) },
  { id: "queue", title: "Queue", group: "View", keys: ["Q"], run: () => ui().togglePanel("queue") },
  { id: "models", title: "Models", group: "View", run: () => ui().togglePanel("models") },
  { id: "settings", title: "Settings", group: "View", keys: ["Ctrl+,"], anywhere: true, run: () => ui().togglePanel("settings") },
  { id: "unload", title: "Unload all models", group: "Run", run: () => void free({ models: true }) },
  { id: "forget", title: "Unload all models and forget all values in memory", group: "Run", run: () => void free({ models: true, values: true }) },
  { id: "form", title: "The workflow as a form", group: "View", keys: ["F"], run: () => ui().togglePanel("form") },
  { id: "commands", title: "All commands", group: "Help", keys: ["Ctrl+K"], anywhere: true, run: () => ui().set({ commands: true }) },
  { id: "node-help", title: "Help for the node", group: "Help", keys: ["F1"], anywhere: true, run: edit.help },
  { id: "keys", title: "Keys", group: "Help", keys: ["?"], run: () => ui().set({ cheatSheet: true }) },
];

export const commandById = (id: string): CommandRow => COMMANDS.find((row) => row.id === id) as CommandRow;

/** The keys of an event as the table writes them. */
export function keysOf(event: { key: string; code?: string; ctrlKey: boolean; metaKey: boolean; shiftKey: boolean; altKey: boolean }): string {
  const printable = event.key.length === 1;
  const key = event.key === " " ? "Space" : event.altKey && /^(Key|Digit)/.test(event.code ?? "") ? (event.code ?? "").replace(/^(Key|Digit)/, "") : printable ? event.key.toUpperCase() : event.key;
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
