/** Copy and paste. */

import type { NodeJson, Spot, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";
import { endText, mapLinks, parseEnd } from "../wires";
import { freeName, graphAt, nodePut, spotPut } from "./base";

/** Nodes as they go to the clipboard: with their places, and the names they had. */
export interface Clip {
  weft: "clip";
  nodes: { [name: string]: NodeJson };
  spots: { [name: string]: Spot };
}

export function copy(document: WorkflowJson, scope: string, names: string[], spots: Record<string, Spot>): Clip {
  const graph = graphAt(document, scope);
  const nodes = Object.fromEntries(
    names.flatMap((name) => {
      const node = graph.nodes[name];
      return node ? [[name, node]] : [];
    }),
  );
  return { weft: "clip", nodes, spots: Object.fromEntries(names.map((n) => [n, spots[n] ?? { x: 0, y: 0 }])) };
}

/** Paste: wires among the pasted stay; those from outside only `withWires`, and only where their node is there. */
export function paste(
  document: WorkflowJson,
  scope: string,
  clip: Clip,
  at: Spot,
  withWires: boolean,
): Command & { names: string[] } {
  const graph = graphAt(document, scope);
  const taken = new Set(Object.keys(graph.nodes));
  const renamed = new Map<string, string>();
  for (const name of Object.keys(clip.nodes)) {
    const made = freeName(name.replace(/_\d+$/, ""), taken);
    taken.add(made);
    renamed.set(name, made);
  }
  const spots = Object.values(clip.spots);
  const left = Math.min(...spots.map((spot) => spot.x));
  const top = Math.min(...spots.map((spot) => spot.y));
  const puts: Put[] = [];
  for (const [name, node] of Object.entries(clip.nodes)) {
    const made = renamed.get(name) as string;
    const inputs: NodeJson["inputs"] = {};
    for (const [input, source] of Object.entries(node.inputs)) {
      const kept = mapLinks(source, (from) => {
        const end = parseEnd(from);
        const inside = renamed.get(end.node);
        if (inside) return endText({ ...end, node: inside });
        return withWires && graph.nodes[end.node] ? from : null;
      });
      if (kept !== undefined) inputs[input] = kept;
    }
    const spot = clip.spots[name] ?? { x: left, y: top };
    puts.push(
      { path: nodePut(scope, made), value: { ...node, inputs } },
      spotPut(scope, made, { x: at.x + spot.x - left, y: at.y + spot.y - top }),
    );
  }
  return { label: "paste", puts, names: [...renamed.values()] };
}
