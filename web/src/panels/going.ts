/** What is selected beyond the pointer, and where the view goes. */

import { graphAt } from "../document/operations";
import { isLink, literal } from "../document/wires";
import { specOf } from "../document/specs";
import type { WorkflowJson } from "../protocol/types";
import { canvas } from "../state/canvas";
import { specsNow } from "../state/catalogue";
import { documentNow, graphNow, type Level, perform, scopeNow, tabNow, useDocument } from "../state/document";
import { remember, say, useUi } from "../state/ui";
import { t } from "../words";
import { nodesChosen } from "./edit";

const ui = () => useUi.getState();

/** All nodes of the types that are selected. */
export function selectSame(): void {
  const nodes = graphNow().nodes;
  const types = new Set(nodesChosen().map((name) => nodes[name]?.type));
  if (!types.size) return void say(t("Select a node first."));
  ui().set({ selected: Object.keys(nodes).filter((name) => types.has(nodes[name]?.type)) });
}

/** What is not selected. */
export function selectOthers(): void {
  const held = new Set(ui().selected);
  ui().set({ selected: canvas().all().filter((id) => !held.has(id) && !id.startsWith("#frame/")) });
}

export function boxTouches(): void {
  const touching = !ui().touching;
  remember("weft.box", touching ? "touches" : "holds");
  ui().set({ touching });
  say(touching ? t("A box now selects what it touches.") : t("A box now selects only what lies in it."));
}

export function wheelPans(): void {
  const pans = !ui().wheelPans;
  remember("weft.wheel", pans ? "pans" : "zooms");
  ui().set({ wheelPans: pans });
  say(pans ? t("The wheel now moves the view; with Ctrl it zooms.") : t("The wheel now zooms."));
}

/** F2: the title of the node, the frame or the note, where it stands. */
export function writeTitle(): void {
  const id = ui().selected.find((held) => graphNow().nodes[held] || held.startsWith("#"));
  if (id === undefined) return void say(t("Select a node first."));
  canvas().reveal(id);
  ui().set({ writing: id });
}

/** The instances to go through from the whole workflow into this graph; null where none leads there. */
export function trailTo(document: WorkflowJson, scope: string): Level[] | null {
  const pending: { scope: string; trail: Level[] }[] = [{ scope: "", trail: [] }];
  const seen = new Set<string>();
  for (let here = pending.shift(); here; here = pending.shift()) {
    if (here.scope === scope) return here.trail;
    if (seen.has(here.scope)) continue;
    seen.add(here.scope);
    const prefix = here.trail.at(-1) ? `${here.trail.at(-1)?.path ?? ""}/` : "";
    for (const [name, node] of Object.entries(graphAt(document, here.scope).nodes)) {
      const inner = (node.type.startsWith("#") ? node.type : node.body)?.replace(/^#/, "");
      if (inner && document.graphs?.[inner]) pending.push({ scope: inner, trail: [...here.trail, { scope: inner, path: prefix + name + (node.body ? "/0" : "") }] });
    }
  }
  return null;
}

/** The graph that is shown is this one now. */
export function goInto(scope: string): boolean {
  if (scope === scopeNow()) return true;
  const trail = trailTo(documentNow(), scope);
  if (!trail) return false;
  useDocument.getState().leave(0);
  for (const level of trail) useDocument.getState().enter(level);
  return true;
}

/** To a node of any graph: it is selected, in view and has the focus. */
export function goTo(scope: string, name: string): void {
  const there = scope === scopeNow();
  if (!goInto(scope)) return;
  ui().set({ selected: [name] });
  const arrive = () => {
    canvas().fit([name]);
    canvas().focus(name);
  };
  // Another graph is shown whole first.
  if (there) arrive();
  else requestAnimationFrame(() => requestAnimationFrame(arrive));
}

export interface Found {
  scope: string;
  name: string;
  title: string;
  /** The type, the graph, and what is typed into it. */
  about: string;
  text: string;
}

/** Every node of the workflow, those of the graph that is shown first. */
export function everyNode(): Found[] {
  const document = documentNow();
  const specs = specsNow();
  const scopes = [scopeNow(), ...["", ...Object.keys(document.graphs ?? {})].filter((scope) => scope !== scopeNow())];
  return scopes.flatMap((scope) =>
    Object.entries(graphAt(document, scope).nodes).map(([name, node]) => {
      const values = Object.values(node.inputs).flatMap((source) => (isLink(source) || typeof source === "object" ? [] : [String(literal(source))]));
      const words = values.filter((value) => value.length > 2).join(" · ").slice(0, 90);
      const title = node.title ?? specOf(node, document, specs)?.title ?? node.type;
      return { scope, name, title, about: [scope ? `${scope} › ${name}` : name, words].filter(Boolean).join(" – "), text: [name, title, node.type, ...values].join(" ").toLowerCase() };
    }),
  );
}

const digitOf = (keys: string): string => keys.slice(-1);

/** Alt and a digit keep what is on screen; it is in the file, and no undo step. */
export function markView(keys: string): void {
  const digit = digitOf(keys);
  const { x, y, zoom } = canvas().view();
  perform({ label: "mark", quiet: true, puts: [{ path: ["view", "marks", digit], value: { scope: scopeNow(), x: Math.round(x), y: Math.round(y), zoom: Math.round(zoom * 1000) / 1000 } }] });
  say(t("{digit} comes back to this view.", { digit }));
}

export function goToMark(keys: string): void {
  const digit = digitOf(keys);
  const mark = documentNow().view?.marks?.[digit];
  if (!mark) return void say(t("No view is kept under {digit}: Alt+{digit} keeps this one.", { digit }));
  const there = mark.scope === scopeNow();
  if (!goInto(mark.scope)) return;
  if (there) canvas().look(mark);
  else requestAnimationFrame(() => requestAnimationFrame(() => canvas().look(mark)));
}

/** To a step of the history: everything after it is undone, everything before it done again. */
export function goToStep(count: number): void {
  const { undo, redo } = useDocument.getState();
  for (let turn = 0; turn < 2000 && tabNow().history.past.length > count; turn++) undo();
  for (let turn = 0; turn < 2000 && tabNow().history.past.length < count && tabNow().history.future.length; turn++) redo();
}
