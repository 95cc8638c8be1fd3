/** What the commands do to what is selected. */

import { align, around, type Box, distribute, type Edge, holds } from "../canvas/arrange";
import { frameId, noteId } from "../canvas/deck";
import { layered, spotFor, withSpots } from "../canvas/layout";
import { chain, type Command } from "../document/commands";
import {
  addFrame,
  addNote,
  collapse,
  colour,
  copy,
  disconnect,
  dissolve,
  editFrame,
  editNote,
  group,
  move,
  parseClip,
  paste,
  removeNodes,
  removeThings,
  setMode,
  stub,
  ungroup,
  viewKey,
  type Clip,
} from "../document/operations";
import { wiresInto, wiresOf } from "../document/wires";
import type { Spot, WorkflowJson } from "../protocol/types";
import { run } from "../state/actions";
import { canvas } from "../state/canvas";
import { specsNow } from "../state/catalogue";
import { documentNow, graphNow, perform, scopeNow, useDocument } from "../state/document";
import { complain, say, useUi } from "../state/ui";
import { t } from "../words";

const ui = () => useUi.getState();
const named = (start: string) => ui().selected.filter((id) => id.startsWith(start)).map((id) => id.slice(start.length));

export const nodesChosen = (): string[] => ui().selected.filter((id) => graphNow().nodes[id]);
export const framesChosen = (): string[] => named("#frame/");
const notesChosen = (): string[] => named("#note/");
const wiresChosen = (): string[] => ui().selected.filter((id) => id.includes("|"));
const ends = (ids: string[]) => ids.map((id) => ({ node: id.slice(0, id.indexOf("|")), slot: id.slice(id.indexOf("|") + 1) }));

/** The nodes that are meant: the selected ones, and all that lie in a selected frame. */
export function meant(): string[] {
  const boxes = canvas().boxes(canvas().all());
  const frames = framesChosen().flatMap((name) => boxes[frameId(name)] ?? []);
  const inside = Object.keys(graphNow().nodes).filter((name) => frames.some((frame) => boxes[name] && holds(frame, boxes[name])));
  return [...new Set([...nodesChosen(), ...inside])];
}

function spots(names: string[]): Record<string, Spot> {
  return Object.fromEntries(names.map((name) => [name, spotFor(documentNow(), scopeNow(), name)]));
}

function some(names: string[]): boolean {
  if (!names.length) say(t("Select a node first."));
  return names.length > 0;
}

const said = (verb: string, count: number, name?: string): string => (count === 1 && name ? `${verb} ${name}` : count > 1 ? `${verb} ${count} nodes` : verb);

/** The selected nodes go, and what they would hand on when bypassed stays wired. */
export function takeOut(): void {
  const names = nodesChosen();
  if (!some(names)) return;
  perform(dissolve(documentNow(), specsNow(), scopeNow(), names));
  ui().set({ selected: [] });
}

export function deleteSelected(): void {
  const [nodes, wires, frames, notes] = [nodesChosen(), wiresChosen(), framesChosen(), notesChosen()];
  const scope = scopeNow();
  const bends = nodes.filter((name) => graphNow().nodes[name]?.type === "reroute");
  const others = nodes.filter((name) => !bends.includes(name));
  const command = chain(
    documentNow(),
    said("delete", nodes.length + frames.length + notes.length, nodes[0]),
    (held) => (wires.length ? disconnect(held, scope, ends(wires)) : null),
    // A reroute is a bend in a wire: without it the wire is straight again.
    (held) => (bends.length ? dissolve(held, specsNow(), scope, bends) : null),
    (held) => (others.length ? removeNodes(held, scope, others) : null),
    () => removeThings(scope, "frames", frames),
    () => removeThings(scope, "notes", notes),
  );
  perform(command);
  ui().set({ selected: [] });
}

let clip: Clip | null = null; // plain http has no clipboard to read: what was copied here is kept here, too

function clipOf(): Clip | null {
  const names = meant();
  const things = { frames: framesChosen(), notes: notesChosen() };
  if (!names.length && !things.frames.length && !things.notes.length) return null;
  return copy(documentNow(), scopeNow(), names, spots(names), things);
}

export function copySelected(): string | null {
  const held = clipOf();
  if (!held) return null;
  clip = held;
  return JSON.stringify(held);
}

function pasteClip(held: Clip, at: Spot, withWires: boolean): void {
  const made = paste(documentNow(), scopeNow(), held, at, withWires);
  perform(made);
  ui().set({ selected: [...made.names, ...made.frames.map(frameId), ...made.notes.map(noteId)] });
}

/** A clip goes into the graph, a whole workflow into a tab of its own; other text is what was copied here last. */
export function pasteText(text: string | null, withWires: boolean): boolean {
  const workflow = text ? asWorkflow(text) : null;
  if (workflow) {
    useDocument.getState().open(withSpots(workflow, specsNow()), "");
    ui().set({ selected: [] });
    return true;
  }
  const held = (text ? parseClip(text) : null) ?? clip;
  if (!held) return false;
  pasteClip(held, canvas().pointer(), withWires);
  return true;
}

function asWorkflow(text: string): WorkflowJson | null {
  try {
    const held = JSON.parse(text) as Partial<WorkflowJson> | null;
    const nodes = held?.weft === 1 && held.nodes ? Object.values(held.nodes) : [];
    return nodes.length && nodes.every((node) => typeof node.type === "string" && typeof node.inputs === "object") ? (held as WorkflowJson) : null;
  } catch {
    return null;
  }
}

export function duplicate(): void {
  const held = clipOf();
  if (!held) return void some([]);
  const corners: Spot[] = [...Object.values(held.spots), ...(held.frames ?? []), ...(held.notes ?? [])];
  pasteClip(held, { x: Math.min(...corners.map((spot) => spot.x)) + 32, y: Math.min(...corners.map((spot) => spot.y)) + 32 }, true);
}

export function makeGraph(): void {
  const names = meant();
  if (!some(names)) return;
  const made = group(documentNow(), scopeNow(), names, spots(names));
  if (!made) return complain(t("One growing input is wired half from inside, half from outside: select its other sources, too."));
  perform(made);
  ui().set({ selected: [made.name] });
}

export function unpack(): void {
  const name = nodesChosen().find((held) => graphNow().nodes[held]?.type.startsWith("#"));
  const made = name === undefined ? null : ungroup(documentNow(), scopeNow(), name);
  if (!made) return void say(t("Select a sub-graph to unpack it."));
  perform(made);
  ui().set({ selected: made.names });
}

export function mode(kind: "mute" | "bypass"): void {
  const names = meant();
  if (some(names)) perform(setMode(documentNow(), scopeNow(), names, kind));
}

export function fold(): void {
  const names = nodesChosen();
  if (some(names)) perform(collapse(documentNow(), scopeNow(), names));
}

const MARGIN = 20;
const TITLE = 36;

const tight = (area: Box) => ({ x: area.x - MARGIN, y: area.y - MARGIN - TITLE, w: area.width + 2 * MARGIN, h: area.height + 2 * MARGIN + TITLE });

/** A frame around what is selected; round the selected frame it is drawn tight again. */
export function frame(): void {
  const [chosen] = framesChosen();
  const boxes = canvas().boxes(chosen === undefined ? [...nodesChosen(), ...notesChosen().map(noteId)] : meant());
  const area = around(Object.values(boxes));
  const middle = canvas().middle();
  const held = area
    ? tight(area)
    : { x: middle.x - 160, y: middle.y - 100, w: 320, h: 200 };
  if (chosen !== undefined) return void (area && perform(editFrame(documentNow(), scopeNow(), chosen, held)));
  const made = addFrame(documentNow(), scopeNow(), { ...held, title: "" });
  perform(made);
  ui().set({ selected: [frameId(made.name)], writing: frameId(made.name) });
}

export function note(at?: Spot): void {
  const spot = at ?? canvas().pointer();
  const made = addNote(documentNow(), scopeNow(), { x: spot.x, y: spot.y, w: 240, h: 160, text: "" });
  perform(made);
  ui().set({ selected: [noteId(made.name)], writing: noteId(made.name) });
}

const HUES = [215, 150, 48, 18, 340, 280];

/** The next colour for what is selected; after the last one nodes have their chapter's again. */
export function tint(): void {
  const [frames, notes, nodes] = [framesChosen(), notesChosen(), nodesChosen()];
  if (!frames.length && !notes.length && !nodes.length) return void say(t("Select a node or a frame to colour it."));
  const scope = scopeNow();
  const view = documentNow().view ?? {};
  const first = frames[0] === undefined ? (notes[0] === undefined ? view.hues?.[viewKey(scope, nodes[0] ?? "")] : (view.notes?.[viewKey(scope, notes[0])]?.hue ?? 48)) : (view.frames?.[viewKey(scope, frames[0])]?.hue ?? 215);
  const at = first === undefined ? -1 : HUES.indexOf(first);
  const hue = HUES[(at + 1) % HUES.length] as number;
  const plain = !frames.length && !notes.length && at === HUES.length - 1;
  perform(
    chain(
      documentNow(),
      "colour",
      ...frames.map((name) => (document: WorkflowJson) => editFrame(document, scope, name, { hue })),
      ...notes.map((name) => (document: WorkflowJson) => editNote(document, scope, name, { hue })),
      () => (nodes.length ? colour(scope, nodes, plain ? undefined : hue) : null),
    ),
  );
}

export function runMeant(): void {
  const names = meant();
  if (some(names)) void run({ targets: names });
}

function arranged(change: (boxes: ReturnType<ReturnType<typeof canvas>["boxes"]>) => Record<string, Spot>, label: string): void {
  const boxes = canvas().boxes(ui().selected.filter((id) => !id.startsWith("#frame/")));
  if (Object.keys(boxes).length < 2) return void say(t("Select two or more nodes first."));
  canvas().put(change(boxes), label);
}

export const alignAt = (edge: Edge): void => arranged((boxes) => align(boxes, edge), "align");
export const spread = (axis: "x" | "y"): void => arranged((boxes) => distribute(boxes, axis), "distribute");

/** Layers from left to right: the whole graph, or the selected nodes where they stand. Frames follow their nodes. */
export function layOut(): void {
  const scope = scopeNow();
  const chosen = meant();
  const names = chosen.length < 2 ? undefined : chosen;
  const held = spots(names ?? []);
  const made = layered(documentNow(), scope, specsNow(), names);
  const corner = (all: Record<string, Spot>): Spot => ({ x: Math.min(...Object.values(all).map((s) => s.x)), y: Math.min(...Object.values(all).map((s) => s.y)) });
  const [from, to] = names ? [corner(made), corner(held)] : [{ x: 0, y: 0 }, { x: 0, y: 0 }];
  const moved = Object.fromEntries(Object.entries(made).map(([name, spot]) => [name, { x: spot.x - from.x + to.x, y: spot.y - from.y + to.y }]));
  perform(chain(documentNow(), "lay out", () => move(scope, moved), ...reframed(moved)));
  if (!names) requestAnimationFrame(() => canvas().fit());
}

/** The frames that held nodes which stand elsewhere now, drawn around them again. */
function reframed(moved: Record<string, Spot>): ((document: WorkflowJson) => Command | null)[] {
  const scope = scopeNow();
  const boxes = canvas().boxes(canvas().all());
  return Object.keys(boxes)
    .filter((id) => id.startsWith("#frame/"))
    .map((id) => {
      const inside = Object.keys(graphNow().nodes).filter((name) => boxes[name] && holds(boxes[id] as Box, boxes[name]));
      const area = around(inside.map((name) => ({ ...(boxes[name] as Box), ...moved[name] })));
      const touched = area && inside.some((name) => moved[name]);
      return (document: WorkflowJson) => (touched ? editFrame(document, scope, id.slice("#frame/".length), tight(area)) : null);
    });
}

/** Selected wires, or those that begin at the selected nodes, as stubs and back. */
export function stubs(): void {
  const chosen = new Set(nodesChosen());
  const wires = wiresChosen().length
    ? wiresChosen()
    : [...wiresOf(graphNow())].filter((wire) => chosen.has(wire.from.node)).map((wire) => `${wire.node}|${wire.slot}`);
  if (!wires.length) return void say(t("Select wires, or a node whose wires are to be stubs."));
  perform(stub(documentNow(), scopeNow(), wires));
}

/** Every wire at the selected nodes is cut. */
export function unwire(): void {
  const chosen = new Set(nodesChosen());
  const wires = [...wiresOf(graphNow())].filter((wire) => chosen.has(wire.node) !== chosen.has(wire.from.node));
  if (some([...chosen]) && wires.length) perform(disconnect(documentNow(), scopeNow(), wires));
}

export function replace(): void {
  const [name] = nodesChosen();
  if (name === undefined) return void some([]);
  ui().set({ palette: { at: canvas().middle(), replace: name } });
}

/** What feeds the selected nodes, and what feeds that; or what comes of them. */
export function selectAlong(way: "before" | "after"): void {
  const graph = graphNow();
  const found = new Set(nodesChosen());
  if (!some([...found])) return;
  const pending = [...found];
  const all = [...wiresOf(graph)];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const node = graph.nodes[name];
    const next = way === "before" ? (node ? wiresInto(name, node).map((wire) => wire.from.node) : []) : all.filter((wire) => wire.from.node === name).map((wire) => wire.node);
    for (const other of next) {
      if (found.has(other) || !graph.nodes[other]) continue;
      found.add(other);
      pending.push(other);
    }
  }
  ui().set({ selected: [...found] });
}

/** What the selected node is for; without one, the keys. */
export function help(): void {
  const name = useUi.getState().selected.find((id) => graphNow().nodes[id]);
  const type = name === undefined ? undefined : graphNow().nodes[name]?.type;
  if (type) useUi.getState().set({ helping: useUi.getState().helping === type ? null : type });
  else useUi.getState().set({ cheatSheet: true });
}
