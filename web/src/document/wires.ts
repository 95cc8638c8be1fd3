/** Wires as the file has them: `{"from": "node.output"}`, alone, in a list, or by name. */

import type { GraphJson, InputSpec, Json, NodeJson, Source } from "../protocol/types";

export interface End {
  node: string;
  output: string; // "" for the node's only one
}

/** One place where a wire can end: an input, or one item of a growing one (`images/0`, `values/a`). */
export interface Wire {
  from: End;
  node: string;
  slot: string;
}

export const isLink = (source: Source | undefined): source is { from: string } =>
  typeof source === "object" && source !== null && !Array.isArray(source) && typeof source.from === "string";

export function parseEnd(text: string): End {
  const dot = text.lastIndexOf(".");
  return dot < 0 ? { node: text, output: "" } : { node: text.slice(0, dot), output: text.slice(dot + 1) };
}

export const endText = (end: End): string => (end.output ? `${end.node}.${end.output}` : end.node);
export const link = (end: End): { from: string } => ({ from: endText(end) });

/** A literal's plain value, out of its `{"value": …}` wrapping. */
export function literal(source: Source | undefined): Json | undefined {
  if (typeof source === "object" && source !== null && !Array.isArray(source) && "value" in source) {
    return source.value as Json;
  }
  return source;
}

/** A value as the file wants it: objects, and lists of them, are wrapped. */
export function asSource(value: Json): Source {
  const nested = (v: Json): boolean => typeof v === "object" && v !== null;
  if (Array.isArray(value)) return value.some(nested) ? { value } : value;
  return nested(value) ? { value } : value;
}

/** The items of an input: itself, or, of a growing one, each with its slot. */
export function slots(name: string, source: Source | undefined, gather?: InputSpec["gather"]): [string, Source][] {
  if (source === undefined) return [];
  if (isLink(source)) return [[gather === "list" ? `${name}/0` : name, source]];
  if (gather === "list" || (gather === undefined && Array.isArray(source))) {
    return Array.isArray(source) ? source.map((item, i): [string, Source] => [`${name}/${i}`, item]) : [];
  }
  if (gather === "named" && typeof source === "object" && source !== null && !Array.isArray(source)) {
    return Object.entries(source).map(([key, item]): [string, Source] => [`${name}/${key}`, item]);
  }
  return [[name, source]];
}

export function wiresInto(node: string, json: NodeJson): Wire[] {
  const wires: Wire[] = [];
  for (const [name, source] of Object.entries(json.inputs)) {
    if (isLink(source)) wires.push({ from: parseEnd(source.from), node, slot: name });
    else if (Array.isArray(source)) {
      source.forEach((item, index) => {
        if (isLink(item)) wires.push({ from: parseEnd(item.from), node, slot: `${name}/${index}` });
      });
    } else if (typeof source === "object" && source !== null && !("value" in source)) {
      for (const [key, item] of Object.entries(source)) {
        if (isLink(item)) wires.push({ from: parseEnd(item.from), node, slot: `${name}/${key}` });
      }
    }
  }
  return wires;
}

export function* wiresOf(graph: GraphJson): Generator<Wire> {
  for (const [name, node] of Object.entries(graph.nodes)) yield* wiresInto(name, node);
}

export function splitSlot(slot: string): [name: string, item: string | undefined] {
  const slash = slot.indexOf("/");
  return slash < 0 ? [slot, undefined] : [slot.slice(0, slash), slot.slice(slash + 1)];
}

/** The input with every link changed; a link changed to null is taken out. */
export function mapLinks(source: Source, change: (from: string) => string | null): Source | undefined {
  if (isLink(source)) {
    const to = change(source.from);
    return to === null ? undefined : to === source.from ? source : { from: to };
  }
  if (Array.isArray(source)) {
    const items = source.map((item) => (isLink(item) ? mapLinks(item, change) : item));
    if (items.every((item, i) => item === source[i])) return source;
    const left = items.filter((item): item is Json => item !== undefined);
    return left.length ? left : undefined;
  }
  if (typeof source === "object" && source !== null && !("value" in source)) {
    const entries = Object.entries(source).map(([key, item]): [string, Json | undefined] => [
      key,
      isLink(item) ? mapLinks(item, change) : item,
    ]);
    if (entries.every(([key, item]) => item === source[key])) return source;
    const left = entries.filter((entry): entry is [string, Json] => entry[1] !== undefined);
    return left.length ? Object.fromEntries(left) : undefined;
  }
  return source;
}

/** Does `from` come to `to` along the wires (or is it the same node)? */
export function reaches(graph: GraphJson, from: string, to: string): boolean {
  const seen = new Set<string>();
  const pending = [to];
  while (pending.length) {
    const name = pending.pop() as string;
    if (name === from) return true;
    if (seen.has(name)) continue;
    seen.add(name);
    const node = graph.nodes[name];
    if (node) for (const wire of wiresInto(name, node)) pending.push(wire.from.node);
  }
  return false;
}
