/** Nodes put between two sockets: into a wire, or where a wire alone does not fit; and one node in place of another. */

import type { GraphJson, InputSpec, NodeJson, NodeSpec, OutputSpec, Source, TypeJson, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";
import { fit, nameOf, outputAt, socketType, specOf, type Specs, typeFrom } from "../specs";
import { type End, endText, isLink, link, literal, mapLinks, parseEnd, splitSlot, wiresInto, wiresOf } from "../wires";
import { apply } from "../commands";
import { baseName, freeName, graphAt, nodePut, rootOf, spotPut, viewKey } from "./base";
import { fresh } from "./nodes";
import { connect } from "./wires";

export interface Slot {
  node: string;
  slot: string;
}

const required = (input: InputSpec): boolean => input.default === undefined && !input.gather && !String(nameText(input.type)).endsWith("?");
const nameText = (type: TypeJson): string => (typeof type === "string" ? type : type.name + (type.optional ? "?" : ""));
const sockets = (spec: NodeSpec): InputSpec[] => spec.inputs.filter((input) => input.wired !== false);

/** The way through a node from one type to another: required inputs of the very type first, as the server does it. */
export function through(spec: NodeSpec, source: TypeJson, target: TypeJson, specs: Specs): { input: InputSpec; output: OutputSpec } | null {
  const generic = (type: TypeJson) => typeof type === "object" && !!type.variable;
  const takes = (input: InputSpec) => fit(source, socketType(input), specs).fit;
  const inputs = sockets(spec)
    .filter((input) => takes(input) === "fits")
    .sort((a, b) => Number(required(b)) - Number(required(a)) || Number(nameOf(b.type) === nameOf(source)) - Number(nameOf(a.type) === nameOf(source)));
  const input = inputs[0];
  if (!input) return null;
  const output = spec.outputs.find((out) => (generic(out.type) && generic(input.type) ? fit(source, target, specs) : fit(out.type, target, specs)).fit === "fits");
  return output ? { input, output } : null;
}

/** Nodes that make of one type another, those that need least first: Latent → Image finds the decoder. */
export function converters(source: TypeJson, target: TypeJson, specs: Specs): NodeSpec[] {
  const exact = (spec: NodeSpec) => sockets(spec).some((input) => required(input) && nameOf(input.type) === nameOf(source));
  const makes = (spec: NodeSpec) => spec.outputs.some((out) => nameOf(out.type) === nameOf(target));
  const count = (spec: NodeSpec) => spec.inputs.filter(required).length;
  return specs.all
    .filter((spec) => !spec.deprecated && !spec.flow && exact(spec) && makes(spec) && through(spec, source, target, specs))
    .sort((a, b) => count(a) - count(b) || a.id.localeCompare(b.id));
}

/** What a new node needs beside its wire, from what the graph has: the nearest node upstream that gives the type. */
function supply(graph: GraphJson, document: WorkflowJson, specs: Specs, made: NodeJson, spec: NodeSpec, start: string, not: string): void {
  for (const input of sockets(spec)) {
    if (!required(input) || made.inputs[input.name] !== undefined) continue;
    const gives = (name: string): string | undefined => {
      const node = graph.nodes[name];
      return node && specOf(node, document, specs)?.outputs.find((out) => nameOf(out.type) === nameOf(input.type))?.name;
    };
    const found = [...upstream(graph, start), ...Object.keys(graph.nodes)].find((name) => name !== not && gives(name));
    if (found) made.inputs[input.name] = link({ node: found, output: gives(found) as string });
  }
}

function* upstream(graph: GraphJson, start: string): Generator<string> {
  const seen = new Set<string>();
  let row = [start];
  while (row.length) {
    const next: string[] = [];
    for (const name of row) {
      const node = graph.nodes[name];
      if (seen.has(name) || !node) continue;
      seen.add(name);
      yield name;
      next.push(...wiresInto(name, node).map((wire) => wire.from.node));
    }
    row = next;
  }
}

/** A new node between two sockets: the wire goes in where its type fits, what else it needs comes from what is there. */
export function insertPuts(
  document: WorkflowJson,
  specs: Specs,
  scope: string,
  insert: { type: string; from: End; to: Slot; input?: string; output?: string },
): { puts: Put[]; name: string } | null {
  const spec = specs.byId.get(insert.type);
  const graph = graphAt(document, scope);
  const held = graph.nodes[insert.to.node];
  const carried = outputAt(endText(insert.from), graph, document, specs);
  if (!spec || !held || !carried) return null;
  const source = typeFrom(endText(insert.from), graph, document, specs);
  const wanted = specOf(held, document, specs)?.inputs.find((item) => item.name === splitSlot(insert.to.slot)[0]);
  const way = through(spec, source, wanted ? socketType(wanted) : "any", specs);
  const input = insert.input ?? way?.input.name;
  const output = insert.output ?? way?.output.name;
  if (!input || !output) return null;
  const name = freeName(baseName(spec.id), graph.nodes);
  const made = fresh(spec);
  const entry = spec.inputs.find((item) => item.name === input);
  made.inputs[input] = entry?.gather === "list" ? [link(insert.from)] : entry?.gather ? { a: link(insert.from) } : link(insert.from);
  supply(graph, document, specs, made, spec, insert.from.node, insert.to.node);
  return {
    name,
    puts: [
      { path: nodePut(scope, name), value: made },
      ...between(document, scope, insert.from.node, insert.to.node, name),
      ...connect(document, scope, { node: name, output }, insert.to).puts,
    ],
  };
}

function between(document: WorkflowJson, scope: string, from: string, to: string, name: string): Put[] {
  const a = document.view?.nodes?.[viewKey(scope, from)];
  const b = document.view?.nodes?.[viewKey(scope, to)];
  return a && b ? [spotPut(scope, name, { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 + 60 })] : [];
}

/** A new node of this type between two sockets, at `spot`. Null where its type does not pass it on. */
export function splice(
  document: WorkflowJson,
  specs: Specs,
  scope: string,
  from: End,
  to: Slot,
  type: string,
  spot?: { x: number; y: number },
): (Command & { name: string }) | null {
  const made = insertPuts(document, specs, scope, { type, from, to });
  if (!made) return null;
  const puts = spot ? [...made.puts, spotPut(scope, made.name, spot)] : made.puts;
  return { label: `insert ${type}`, puts, name: made.name };
}

/** A node that is there already goes into a wire, when it passes on what the wire carries. */
export function spliceNode(document: WorkflowJson, specs: Specs, scope: string, name: string, from: End, to: Slot): Command | null {
  const graph = graphAt(document, scope);
  const node = graph.nodes[name];
  const spec = node && specOf(node, document, specs);
  const held = graph.nodes[to.node];
  if (!node || !spec || !held || name === from.node || name === to.node) return null;
  const source = typeFrom(endText(from), graph, document, specs);
  const wanted = specOf(held, document, specs)?.inputs.find((item) => item.name === splitSlot(to.slot)[0]);
  const open: NodeSpec = { ...spec, inputs: spec.inputs.filter((input) => input.gather || !isLink(node.inputs[input.name])) };
  const way = through(open, source, wanted ? socketType(wanted) : "any", specs);
  if (!way) return null;
  const slot = way.input.gather ? `${way.input.name}/${way.input.gather === "list" ? "0" : "a"}` : way.input.name;
  const taken = way.input.gather && node.inputs[way.input.name] !== undefined;
  if (taken) return null;
  const first = connect(document, scope, from, { node: name, slot });
  const between_ = apply(document, first).document;
  const reached = [...upstream(graphAt(between_, scope), from.node)];
  if (reached.includes(name)) return null; // the wires would form a circle
  return { label: "put into the wire", puts: [...first.puts, ...connect(between_, scope, { node: name, output: way.output.name }, to).puts] };
}

export interface Replacement {
  command: Command;
  /** Wires that found a socket, and all there were. */
  kept: number;
  wires: number;
}

/** Another node in the place of this one: wires and values go where name or type says. */
export function replaceNode(document: WorkflowJson, specs: Specs, scope: string, name: string, spec: NodeSpec): Replacement | null {
  const graph = graphAt(document, scope);
  const node = graph.nodes[name];
  if (!node) return null;
  const before = specOf(node, document, specs);
  const made = fresh(spec);
  let [kept, wires] = [0, 0];
  const used = new Set<string>();
  const place = (old: string, source: Source): boolean => {
    const links = wiresInto(name, { type: "", inputs: { [old]: source } });
    wires += links.length;
    const type = links[0] ? typeFrom(endText(links[0].from), graph, document, specs) : null;
    const fits = (input: InputSpec) => !used.has(input.name) && (type ? fit(type, socketType(input), specs).fit === "fits" : false);
    const twin = spec.inputs.find((input) => input.name === old && !used.has(old));
    if (!links.length) {
      const was = before?.inputs.find((input) => input.name === old);
      // Of a node that no pack here has, the names alone are known.
      if (!twin || (before && (!was || nameOf(twin.type) !== nameOf(was.type))) || !offers(twin, source)) return false;
      made.inputs[old] = source;
      used.add(old);
      return true;
    }
    const target = twin && fits(twin) && !!twin.gather === Array.isArray(source) ? twin : sockets(spec).find((input) => fits(input));
    if (!target) return false;
    made.inputs[target.name] = target.gather && isLink(source) ? [source] : !target.gather && !isLink(source) ? link((links[0] as { from: End }).from) : source;
    used.add(target.name);
    kept += target.gather || links.length === 1 ? links.length : 1;
    return true;
  };
  // Inputs of the same name first: a type alone decides only what is left.
  const entries = Object.entries(node.inputs);
  const named = entries.filter(([old]) => spec.inputs.some((input) => input.name === old));
  for (const [old, source] of [...named, ...entries.filter((entry) => !named.includes(entry))]) place(old, source);
  const outputs = new Map<string, string | null>();
  for (const out of before?.outputs ?? []) {
    const twin = spec.outputs.find((other) => other.name === out.name && fit(other.type, out.type, specs).fit !== "no");
    outputs.set(out.name, (twin ?? spec.outputs.find((other) => fit(other.type, out.type, specs).fit === "fits"))?.name ?? null);
  }
  const unknown = before ? [] : [...wiresOf(graph)].filter((wire) => wire.from.node === name).map((wire) => wire.from.output);
  for (const output of unknown) {
    const twin = spec.outputs.find((other) => other.name === output) ?? (spec.outputs.length === 1 ? spec.outputs[0] : undefined);
    outputs.set(output, twin?.name ?? null);
  }
  const puts: Put[] = [{ path: nodePut(scope, name), value: { ...made, ...(node.title ? { title: node.title } : {}) } }];
  for (const [other, json] of Object.entries(graph.nodes)) {
    if (other === name) continue;
    for (const [input, source] of Object.entries(json.inputs)) {
      const changed = mapLinks(source, (from) => {
        const end = parseEnd(from);
        if (end.node !== name) return from;
        wires++;
        const output = end.output ? outputs.get(end.output) : (outputs.values().next().value ?? null);
        if (!output) return null;
        kept++;
        return endText({ node: name, output });
      });
      if (changed !== source) puts.push({ path: nodePut(scope, other, "inputs", input), value: changed });
    }
  }
  for (const [key, from] of Object.entries(graph.outputs ?? {})) {
    const end = parseEnd(from);
    const output = end.node === name && end.output ? outputs.get(end.output) : undefined;
    if (end.node === name && output !== end.output) {
      puts.push({ path: [...rootOf(scope), "outputs", key], value: output ? endText({ node: name, output }) : undefined });
    }
  }
  for (const [key, parameter] of Object.entries(graph.parameters ?? {})) {
    const to = parameter.to.filter((target) => parseEnd(target).node !== name || spec.inputs.some((input) => input.name === parseEnd(target).output));
    if (to.length !== parameter.to.length) puts.push({ path: [...rootOf(scope), "parameters", key], value: to.length ? { ...parameter, to } : undefined });
  }
  return { command: { label: `replace ${name}`, puts }, kept, wires };
}

const offers = (input: InputSpec, source: Source): boolean => {
  const choices = typeof input.type === "object" ? input.type.choices : undefined;
  return !choices || choices.some((choice) => choice === literal(source));
};
