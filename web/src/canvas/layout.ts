import { graphAt, viewKey } from "../document/operations";
import { specOf, type Specs } from "../document/specs";
import { wiresInto } from "../document/wires";
import type { GraphJson, Spot, WorkflowJson } from "../protocol/types";
import { type Shape, shapeOf } from "./geometry";
import { type Item, layers, type Line } from "./layers";

/** Layers from left to right, wires short: a place for every node of a graph, or for those of a selection. */
export function layered(document: WorkflowJson, scope: string, specs: Specs, only?: string[]): Record<string, Spot> {
  const whole = graphAt(document, scope);
  const graph = only ? { ...whole, nodes: Object.fromEntries(Object.entries(whole.nodes).filter(([name]) => only.includes(name))) } : whole;
  const shapes = new Map<string, Shape>();
  for (const [name, node] of Object.entries(graph.nodes)) {
    const key = viewKey(scope, name);
    const options = { collapsed: !!document.view?.collapsed?.[key], open: !!document.view?.open?.[key], pictures: pictured(graph, name, document, specs) };
    shapes.set(name, shapeOf(node, specOf(node, document, specs), options));
  }
  const items: Item[] = [...shapes].map(([name, { width, height }]) => ({ name, width, height }));
  const middle = (name: string, type: "source" | "target", id: string): number => {
    const shape = shapes.get(name);
    const handle = shape?.handles.find((each) => each.type === type && (!id || each.id === id || each.id === `${id}/0`));
    return handle ? handle.y + handle.height / 2 : (shape?.height ?? 0) / 2;
  };
  const lines: Line[] = [];
  for (const [name, node] of Object.entries(graph.nodes)) {
    for (const { from, slot } of wiresInto(name, node)) {
      if (!graph.nodes[from.node]) continue;
      lines.push({ from: from.node, to: name, out: middle(from.node, "source", from.output), into: middle(name, "target", slot) });
    }
  }
  return layers(items, lines);
}

/** Nodes that will show a picture get the room for a square one. */
function pictured(graph: GraphJson, name: string, document: WorkflowJson, specs: Specs) {
  const node = graph.nodes[name];
  const out = node && specOf(node, document, specs)?.outputs.some((o) => o.type === "Image" || o.type === "Mask");
  return out ? { count: 1, width: 1, height: 1 } : null;
}

/** The document with a place for every node that has none, in all its graphs. Reading a file is no edit. */
export function withSpots(document: WorkflowJson, specs: Specs): WorkflowJson {
  const nodes = { ...document.view?.nodes };
  let changed = false;
  for (const scope of ["", ...Object.keys(document.graphs ?? {})]) {
    const missing = Object.keys(graphAt(document, scope).nodes).filter((name) => !nodes[viewKey(scope, name)]);
    if (!missing.length) continue;
    const made = layered(document, scope, specs);
    for (const name of missing) nodes[viewKey(scope, name)] = made[name] ?? { x: 0, y: 0 };
    changed = true;
  }
  return changed ? { ...document, view: { ...document.view, nodes } } : document;
}

/** A place beside what feeds it, for a node that came without one (a mend's). */
export function spotFor(document: WorkflowJson, scope: string, name: string): Spot {
  const graph = graphAt(document, scope);
  const node = graph.nodes[name];
  const held = document.view?.nodes?.[viewKey(scope, name)];
  if (held) return held;
  const sources = node ? wiresInto(name, node).map((w) => document.view?.nodes?.[viewKey(scope, w.from.node)]) : [];
  const known = sources.filter((spot): spot is Spot => spot !== undefined);
  if (!known.length) return { x: 0, y: 0 };
  return { x: Math.max(...known.map((s) => s.x)) + 290, y: Math.min(...known.map((s) => s.y)) + 40 };
}
