/** React Flow's nodes from the document. */

import { thingsIn, viewKey } from "../document/operations";
import { type Specs, specOf } from "../document/specs";
import { parseEnd, wiresInto } from "../document/wires";
import type { GraphJson, NodeJson, NodeSpec, Picture, Spot, WorkflowJson } from "../protocol/types";
import type { PreviewPicture } from "../state/run";
import type { Box } from "./arrange";
import type { FrameNode, NoteNode } from "./FrameCard";
import { type PictureSize, shapeOf, WIDTH } from "./geometry";
import { hueOf } from "./hues";
import { spotFor } from "./layout";
import type { CardData, CardNode } from "./NodeCard";

const NOTHING: ReadonlySet<string> = new Set();

/** A node whose pack is not here keeps its sockets: those that are wired. */
function standInSpec(name: string, node: NodeJson, graph: GraphJson): NodeSpec {
  const outputs = new Set<string>();
  for (const [other, json] of Object.entries(graph.nodes)) {
    for (const wire of wiresInto(other, json)) if (wire.from.node === name) outputs.add(wire.from.output || "out");
  }
  return {
    id: node.type,
    title: node.type,
    help: "",
    inputs: Object.entries(node.inputs).map(([input, source]) => ({
      name: input,
      type: "any",
      typed: false,
      gather: Array.isArray(source) ? "list" : undefined,
    })),
    outputs: [...outputs].map((output) => ({ name: output, type: "any" })),
  };
}

function sizeOf(pictures: Picture[] | undefined, preview: PreviewPicture | undefined): PictureSize | null {
  const first = pictures?.[0];
  if (preview && !first) return { count: 1, width: preview.width, height: preview.height };
  return first ? { count: Math.min(pictures.length, 16), width: first.width, height: first.height } : null;
}

export interface Ground {
  document: WorkflowJson;
  graph: GraphJson;
  scope: string;
  prefix: string;
  pictures: Record<string, Picture[]>;
  previews: Record<string, PreviewPicture>;
  selected: string[];
  dragged: Record<string, Spot>;
  specs: Specs;
}

/** The cards of a graph: the same object as before for each node of which nothing changed. */
export class Deck {
  private held = new Map<string, { key: unknown[]; card: CardNode }>();

  deal(ground: Ground): CardNode[] {
    const { document, graph, scope, prefix, pictures, previews, dragged, specs } = ground;
    const chosen = new Set(ground.selected);
    const exposed = new Map<string, Set<string>>();
    for (const parameter of Object.values(graph.parameters ?? {})) {
      for (const to of parameter.to) {
        const end = parseEnd(to);
        exposed.set(end.node, (exposed.get(end.node) ?? new Set()).add(end.output));
      }
    }
    const made = new Map<string, { key: unknown[]; card: CardNode }>();
    for (const [name, json] of Object.entries(graph.nodes)) {
      const path = prefix + name;
      const nested = json.type.startsWith("#") || json.type === "map" || json.type === "fold";
      const spot = dragged[name] ?? document.view?.nodes?.[viewKey(scope, name)] ?? spotFor(document, scope, name);
      const collapsed = !!document.view?.collapsed?.[viewKey(scope, name)];
      const open = !!document.view?.open?.[viewKey(scope, name)];
      const size = sizeOf(pictures[path], previews[path]);
      const shown = exposed.get(name) ?? NOTHING;
      const known = nested || specs.byId.has(json.type);
      const own = document.view?.hues?.[viewKey(scope, name)];
      const key = [own, json, spot.x, spot.y, collapsed, open, size?.count, size?.width, size?.height, specs, [...shown].join(), nested && document.graphs, known || graph];
      const isChosen = chosen.has(name);
      const held = this.held.get(path);
      if (held?.key.every((part, i) => part === key[i])) {
        const card = held.card.selected === isChosen ? held.card : { ...held.card, selected: isChosen };
        made.set(path, { key, card });
        continue;
      }
      const spec = specOf(json, document, specs);
      const shape = shapeOf(json, spec ?? standInSpec(name, json, graph), { collapsed, pictures: size, open, exposed: shown });
      const hue = own ?? hueOf(spec?.category ?? json.type.split(".")[0] ?? "");
      const data: CardData = { name, path, json, spec, shape, collapsed, hue, exposed: shown };
      const card = {
        id: name,
        type: "card",
        position: spot,
        data,
        selected: isChosen,
        width: shape.width,
        height: shape.height,
        // Said beforehand, or React Flow measures what is mounted: from far away it would find no sockets, and draw no wires.
        measured: { width: shape.width, height: shape.height },
        handles: shape.handles,
        ariaLabel: `${json.title ?? spec?.title ?? json.type}, ${name}`,
      } as CardNode;
      made.set(path, { key, card });
    }
    this.held = made;
    return [...made.values()].map((entry) => entry.card);
  }
}

export type AnyNode = CardNode | FrameNode | NoteNode;

export const frameId = (name: string): string => `#frame/${name}`;
export const noteId = (name: string): string => `#note/${name}`;

/** The frames and notes of a graph: frames lie under the wires and let the pointer through. */
export function things(document: WorkflowJson, scope: string, selected: string[], dragged: Record<string, Spot>): (FrameNode | NoteNode)[] {
  const chosen = new Set(selected);
  const frames = thingsIn(document.view, "frames", scope).map(([name, frame]): FrameNode => {
    const id = frameId(name);
    const spot = dragged[id] ?? frame;
    return {
      id,
      type: "frame",
      position: { x: spot.x, y: spot.y },
      data: { name, frame },
      width: frame.w,
      height: frame.h,
      measured: { width: frame.w, height: frame.h },
      selected: chosen.has(id),
      zIndex: -2000,
      dragHandle: ".frame-head",
      style: { pointerEvents: "none" },
      handles: [],
      ariaLabel: frame.title,
    };
  });
  const notes = thingsIn(document.view, "notes", scope).map(([name, note]): NoteNode => {
    const id = noteId(name);
    const spot = dragged[id] ?? note;
    return {
      id,
      type: "note",
      position: { x: spot.x, y: spot.y },
      data: { name, note },
      width: note.w,
      height: note.h,
      measured: { width: note.w, height: note.h },
      selected: chosen.has(id),
      handles: [],
      ariaLabel: note.text.slice(0, 60),
    };
  });
  return [...frames, ...notes];
}

/** The same with room for the picture that a node will show: what is fitted to the screen once is still seen after the run. */
export const roomFor = (node: AnyNode): Box => {
  const box = boxOf(node);
  const waits = node.type === "card" && !node.data.shape.picture && !node.data.collapsed && !!node.data.spec?.outputs.some((output) => output.type === "Image" || output.type === "Mask");
  return waits ? { ...box, height: box.height + WIDTH } : box;
};

export const boxOf = (node: AnyNode): Box => ({ ...node.position, width: node.width ?? 0, height: node.height ?? 0 });
