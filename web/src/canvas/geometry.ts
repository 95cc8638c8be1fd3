/** Where everything on a node lies, computed from its spec: nothing on the canvas is ever measured. */

import { hasSocket, hasWidget, isOptional, labelOf, nameOf, socketType } from "../document/specs";
import { slots } from "../document/wires";
import type { InputSpec, NodeJson, NodeSpec, OutputSpec, TypeJson } from "../protocol/types";

export const WIDTH = 232;
export const HEAD = 30;
export const ROW = 22;
export const TEXT = 74;
export const PAD = 6;
export const SOCKET = 10;
/** A card's border: what lies in the card is placed from within it. */
const EDGE = 1;

export interface SocketRow {
  kind: "sockets";
  y: number;
  height: number;
  input?: { id: string; label: string; type: TypeJson; input: InputSpec; optional: boolean };
  output?: { id: string; label: string; type: TypeJson; output: OutputSpec };
}

export interface WidgetRow {
  kind: "widget";
  y: number;
  height: number;
  input: InputSpec;
  /** The slot of its socket; undefined when it has none. */
  id?: string;
}

/** What folds the widgets away that few people turn, or brings them out. */
export interface MoreRow {
  kind: "more";
  y: number;
  height: number;
  names: string[];
  open: boolean;
}

export interface Handle {
  id: string;
  type: "source" | "target";
  position: "left" | "right";
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Shape {
  width: number;
  height: number;
  rows: (SocketRow | WidgetRow | MoreRow)[];
  handles: Handle[];
  picture: { y: number; height: number; columns: number } | null;
}

export interface PictureSize {
  count: number;
  width: number;
  height: number;
}

export const isText = (input: InputSpec): boolean => input.widget?.kind === "text" || input.widget?.kind === "prompt";

/** Widgets to fold away: those that few people turn, while they have their default and stand in no form. */
export const folded = (spec: NodeSpec | undefined, node: NodeJson, exposed?: ReadonlySet<string>): string[] =>
  (spec?.advanced ?? []).filter((name) => node.inputs[name] === undefined && !exposed?.has(name));

/** The free slot at the end of a growing input. */
export function freeSlot(input: InputSpec, node: NodeJson): string {
  const held = slots(input.name, node.inputs[input.name], input.gather);
  if (input.gather === "list") return `${input.name}/${held.length}`;
  const names = new Set(held.map(([slot]) => slot.slice(input.name.length + 1)));
  for (const letter of "abcdefghijklmnopqrstuvwxyz") if (!names.has(letter)) return `${input.name}/${letter}`;
  return `${input.name}/${names.size + 1}`;
}

export function shapeOf(
  node: NodeJson,
  spec: NodeSpec | undefined,
  options: { collapsed?: boolean; pictures?: PictureSize | null; open?: boolean; exposed?: ReadonlySet<string> } = {},
): Shape {
  if (node.type === "reroute") return rerouteShape();
  const { inputs, outputs } = spec ?? standIn(node);
  const rare = folded(spec, node, options.exposed);
  const collapsed = !!options.collapsed;
  const rows: Shape["rows"] = [];
  const entries: NonNullable<SocketRow["input"]>[] = [];
  const widgets: InputSpec[] = [];
  for (const input of inputs) {
    if (input.gather && hasSocket(input)) {
      const held = slots(input.name, node.inputs[input.name], input.gather);
      for (const [slot] of held) {
        entries.push({ id: slot, label: labelOf(slot.replace("/", " ")), type: socketType(input), input, optional: false });
      }
      entries.push({ id: freeSlot(input, node), label: `${labelOf(input.name)} +`, type: socketType(input), input, optional: true });
    } else if (hasWidget(input) || !hasSocket(input)) {
      if (options.open || !rare.includes(input.name)) widgets.push(input);
    } else {
      const optional = input.default !== undefined || isOptional(input.type);
      entries.push({ id: input.name, label: labelOf(input.name), type: socketType(input), input, optional });
    }
  }
  let y = HEAD + 2;
  const height = collapsed ? 0 : ROW;
  for (let i = 0; i < Math.max(entries.length, outputs.length); i++) {
    const output = outputs[i];
    rows.push({
      kind: "sockets",
      y,
      height,
      input: entries[i],
      output: output && { id: output.name, label: labelOf(output.name), type: output.type, output },
    });
    y += height;
  }
  if (widgets.length && rows.length && !collapsed) y += 4;
  for (const input of widgets) {
    const tall = collapsed ? 0 : isText(input) ? TEXT : ROW;
    rows.push({ kind: "widget", y, height: tall, input, id: hasSocket(input) ? input.name : undefined });
    y += tall;
  }
  if (rare.length && !collapsed) {
    rows.push({ kind: "more", y, height: ROW, names: rare, open: !!options.open });
    y += ROW;
  }
  if (collapsed) y = HEAD;
  else y += PAD;
  let picture: Shape["picture"] = null;
  if (options.pictures && !collapsed) {
    const { count, width, height: tall } = options.pictures;
    const columns = Math.ceil(Math.sqrt(count));
    const cell = (WIDTH - 2 * PAD - (columns - 1) * 2) / columns;
    const lines = Math.ceil(count / columns);
    const area = Math.min(Math.round(lines * ((cell * tall) / Math.max(1, width)) + (lines - 1) * 2), 2 * WIDTH);
    picture = { y, height: area, columns };
    y += area + PAD;
  }
  const handles: Handle[] = [];
  const middle = (row: { y: number; height: number }) => (collapsed ? HEAD / 2 : row.y + Math.min(row.height, ROW) / 2);
  const add = (id: string, type: Handle["type"], at: number) =>
    handles.push({
      id,
      type,
      position: type === "target" ? "left" : "right",
      x: type === "target" ? EDGE - SOCKET / 2 : WIDTH - EDGE - SOCKET / 2,
      y: at + EDGE - SOCKET / 2,
      width: SOCKET,
      height: SOCKET,
    });
  for (const row of rows) {
    if (row.kind === "sockets") {
      if (row.input) add(row.input.id, "target", middle(row));
      if (row.output) add(row.output.id, "source", middle(row));
    } else if (row.kind === "widget" && row.id) add(row.id, "target", middle(row));
  }
  return { width: WIDTH, height: y, rows, handles, picture };
}

const BEND = 22;

function rerouteShape(): Shape {
  const at = { y: BEND / 2 + EDGE - SOCKET / 2, width: SOCKET, height: SOCKET };
  return {
    width: BEND,
    height: BEND,
    rows: [],
    handles: [
      { id: "value", type: "target", position: "left", x: EDGE - SOCKET / 2, ...at },
      { id: "value", type: "source", position: "right", x: BEND - EDGE - SOCKET / 2, ...at },
    ],
    picture: null,
  };
}

/** A node that no installed pack knows still shows what is wired into it. */
function standIn(node: NodeJson): { inputs: InputSpec[]; outputs: OutputSpec[] } {
  return {
    inputs: Object.keys(node.inputs).map((name) => ({ name, type: "any", typed: false })),
    outputs: [{ name: "out", type: "any" }],
  };
}

/** The words of a type's plain widget, for what the row shows at rest. */
export const isSeed = (input: InputSpec): boolean => input.widget?.kind === "seed";
export const isChoice = (input: InputSpec): boolean =>
  nameOf(input.type) === "choice" || ["model", "file", "choices"].includes(input.widget?.kind ?? "");
