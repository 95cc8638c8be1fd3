import { wiresInto } from "../document/wires";
import type { GraphJson } from "../protocol/types";

/** Ids of the wires along the path of one: all that comes into it and all that comes of it. */
export function pathOf(graph: GraphJson, edge: { id: string; source: string; target: string }): Set<string> {
  const into = new Map(Object.entries(graph.nodes).map(([name, node]) => [name, wiresInto(name, node)]));
  const outOf = new Map<string, { node: string; slot: string }[]>();
  for (const wires of into.values()) {
    for (const wire of wires) outOf.set(wire.from.node, [...(outOf.get(wire.from.node) ?? []), wire]);
  }
  const found = new Set([edge.id]);
  const seen = new Set<string>();
  const walk = (start: string, next: (name: string) => { id: string; to: string }[]) => {
    const pending = [start];
    while (pending.length) {
      const name = pending.pop() as string;
      if (seen.has(name)) continue;
      seen.add(name);
      for (const { id, to } of next(name)) {
        found.add(id);
        pending.push(to);
      }
    }
  };
  walk(edge.source, (name) => (into.get(name) ?? []).map((w) => ({ id: `${name}|${w.slot}`, to: w.from.node })));
  walk(edge.target, (name) => (outOf.get(name) ?? []).map((w) => ({ id: `${w.node}|${w.slot}`, to: w.node })));
  return found;
}
