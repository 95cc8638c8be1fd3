/** Wires: drawn, cut; would one close a circle? */

import type { Json, Source, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";
import { type End, endText, isLink, link, reaches, splitSlot } from "../wires";
import { graphAt, nodePut } from "./base";

/** The wire as a command, or the reason why it cannot be. */
export function connect(document: WorkflowJson, scope: string, from: End, to: { node: string; slot: string }): Command {
  const graph = graphAt(document, scope);
  const [input, item] = splitSlot(to.slot);
  const held = graph.nodes[to.node]?.inputs[input];
  let value: Source = link(from);
  if (item !== undefined) {
    if (Array.isArray(held) || held === undefined || isLink(held)) {
      if (/^\d+$/.test(item) && !(held === undefined && item !== "0")) {
        const items: Json[] = Array.isArray(held) ? [...held] : held === undefined ? [] : [held];
        items[Math.min(Number(item), items.length)] = link(from);
        value = items;
      } else value = { [item]: link(from) };
    } else value = { ...(held as { [key: string]: Json }), [item]: link(from) };
  }
  return {
    label: `wire ${endText(from)}`,
    puts: [{ path: nodePut(scope, to.node, "inputs", input), value }],
  };
}

export const wouldCircle = (document: WorkflowJson, scope: string, from: string, to: string): boolean =>
  from === to || reaches(graphAt(document, scope), to, from);

export function disconnect(document: WorkflowJson, scope: string, ends: { node: string; slot: string }[]): Command {
  const graph = graphAt(document, scope);
  const left = new Map<string, Source | undefined>();
  // From the last item to the first, so that the indices before stay what they are.
  const ordered = [...ends].sort((a, b) => b.slot.localeCompare(a.slot, undefined, { numeric: true }));
  for (const { node, slot } of ordered) {
    const [input, item] = splitSlot(slot);
    const key = JSON.stringify([node, input]);
    const held = left.has(key) ? left.get(key) : graph.nodes[node]?.inputs[input];
    if (item === undefined || isLink(held)) left.set(key, undefined);
    else if (Array.isArray(held)) {
      const items = held.filter((_, i) => i !== Number(item));
      left.set(key, items.length ? items : undefined);
    } else if (held && typeof held === "object") {
      const entries = Object.entries(held).filter(([name]) => name !== item);
      left.set(key, entries.length ? (Object.fromEntries(entries) as Source) : undefined);
    }
  }
  const puts = [...left].map(([key, value]): Put => {
    const [node, input] = JSON.parse(key) as [string, string];
    return { path: nodePut(scope, node, "inputs", input), value };
  });
  return { label: ends.length === 1 ? "cut a wire" : `cut ${ends.length} wires`, puts };
}
