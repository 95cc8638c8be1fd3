/** Specs as the canvas needs them: found by type, also for sub-graphs and their instances, whose sockets the document says. */

import type {
  Catalogue,
  InputAsSent,
  Fit,
  GraphJson,
  InputSpec,
  NodeJson,
  NodeSpec,
  OutputSpec,
  TypeJson,
  TypeSpec,
  WorkflowJson,
} from "../protocol/types";
import { parseEnd, wiresInto } from "./wires";

/** A name as people read it: `clip_skip` is clip skip. */
export const labelOf = (name: string): string => name.replaceAll("_", " ");

export interface Specs {
  byId: Map<string, NodeSpec>;
  types: Map<string, TypeSpec>;
  connect: Catalogue["connect"];
  all: NodeSpec[];
}

export function index(catalogue: Catalogue): Specs {
  const all = catalogue.nodes.map((spec): NodeSpec => ({ ...spec, inputs: spec.inputs.map(inputOf) }));
  return {
    byId: new Map(all.map((spec) => [spec.id, spec])),
    types: new Map(catalogue.types.map((type) => [type.name, type])),
    connect: catalogue.connect,
    all,
  };
}

const bound = (sent: number | string | undefined): number | undefined => (sent === undefined ? undefined : Number(sent));

function inputOf({ widget, variants, ...input }: InputAsSent): InputSpec {
  return {
    ...input,
    ...(widget ? { widget: { ...widget, low: bound(widget.low), high: bound(widget.high) } } : {}),
    ...(variants ? { variants: variants.map((option) => ({ ...option, inputs: option.inputs.map(inputOf) })) } : {}),
  };
}

const ANY: TypeJson = "any";

/** The spec of a node in this document; undefined when no installed pack has it. */
export function specOf(node: NodeJson, document: WorkflowJson, specs: Specs, depth = 0): NodeSpec | undefined {
  if (node.type === "map" || node.type === "fold") {
    const found = specs.byId.get(node.type);
    const body = document.graphs?.[(node.body ?? "").replace(/^#/, "")];
    if (!body || depth > 16) return found;
    const inner = graphSpec(node.body ?? "", body, document, specs, depth + 1);
    const over = node.type === "map";
    return {
      ...inner,
      id: node.type,
      title: found?.title ?? node.type,
      help: found?.help ?? "",
      category: "flow",
      inputs: inner.inputs.map((input) => (over ? { ...input, over } : input)),
      outputs: inner.outputs.map((out) => (over ? { ...out, type: { name: "list", args: [out.type] } } : out)),
    };
  }
  if (!node.type.startsWith("#")) return specs.byId.get(node.type);
  const graph = document.graphs?.[node.type.slice(1)];
  return graph && depth <= 16 ? graphSpec(node.type, graph, document, specs, depth + 1) : undefined;
}

function graphSpec(id: string, graph: GraphJson, document: WorkflowJson, specs: Specs, depth: number): NodeSpec {
  const inputs: InputSpec[] = Object.entries(graph.parameters ?? {}).map(([name, parameter]) => {
    const inner = parameter.to
      .map((to) => inputAt(to, graph, document, specs, depth))
      .find((found) => found !== undefined);
    const base: InputSpec = inner ?? { name, type: ANY };
    const held = parameter.default ?? valueAt(parameter.to[0], graph) ?? base.default;
    return { ...base, name, gather: undefined, ...(held === undefined ? {} : { default: held }) };
  });
  const outputs: OutputSpec[] = Object.entries(graph.outputs ?? {}).map(([name, from]) => ({
    name,
    type: outputAt(from, graph, document, specs, depth)?.type ?? ANY,
  }));
  return { id, title: id.replace(/^#/, ""), help: "A graph of this workflow.", category: "flow", inputs, outputs };
}

function inputAt(to: string, graph: GraphJson, document: WorkflowJson, specs: Specs, depth: number) {
  const { node: name, output: input } = parseEnd(to);
  const node = graph.nodes[name];
  return node && specOf(node, document, specs, depth)?.inputs.find((item) => item.name === input);
}

function valueAt(to: string | undefined, graph: GraphJson) {
  if (!to) return undefined;
  const { node: name, output: input } = parseEnd(to);
  const held = graph.nodes[name]?.inputs[input];
  return typeof held === "object" ? undefined : held;
}

export function outputAt(from: string, graph: GraphJson, document: WorkflowJson, specs: Specs, depth = 0) {
  const end = parseEnd(from);
  const node = graph.nodes[end.node];
  const outputs = node && specOf(node, document, specs, depth)?.outputs;
  return end.output ? outputs?.find((out) => out.name === end.output) : outputs?.[0];
}

/** The type that really comes out: a reroute's and a switch's variable stands for what is wired into them. */
export function typeFrom(from: string, graph: GraphJson, document: WorkflowJson, specs: Specs): TypeJson {
  let here = from;
  for (let turn = 0; turn < 256; turn++) {
    const out = outputAt(here, graph, document, specs);
    if (!out) return ANY;
    if (!(typeof out.type === "object" && out.type.variable)) return out.type;
    const name = parseEnd(here).node;
    const node = graph.nodes[name];
    const wire = node && wiresInto(name, node).find((w) => !w.slot.startsWith("choose"));
    if (!wire) return out.type;
    here = wire.from.output ? `${wire.from.node}.${wire.from.output}` : wire.from.node;
  }
  return ANY;
}

export function nameOf(type: TypeJson): string {
  return typeof type === "string" ? type.replace(/\?$/, "") : type.name;
}

/** What a socket takes: of a map and of a growing input one item or a list of them, written `each[T]`. */
export const socketType = (input: InputSpec): TypeJson =>
  input.over || input.gather === "list" ? { name: "each", args: [input.type] } : input.type;

export function isOptional(type: TypeJson): boolean {
  return typeof type === "string" ? type.endsWith("?") : !!type.optional;
}

export function typeText(type: TypeJson): string {
  if (typeof type === "string") return type;
  if (type.name === "each") return typeText(type.args?.[0] ?? ANY);
  const args = type.args?.map(typeText).join(", ");
  const body = args ? `${type.name}[${args}]` : type.variable ? "anything" : type.name;
  return body + (type.optional ? "?" : "");
}

/** The type whose colour a socket has: of a list, its items'. */
export function colourOf(type: TypeJson, specs: Specs): string {
  const inner = typeof type === "object" && (type.name === "list" || type.name === "each") && type.args?.[0] ? type.args[0] : type;
  const name = nameOf(inner);
  return specs.types.get(name)?.colour ?? PLAIN_COLOURS[name] ?? "#8a8f98";
}

const PLAIN_COLOURS: Record<string, string> = {
  int: "#a7adb8",
  float: "#b9bfca",
  str: "#c9b27c",
  bool: "#b58a8a",
  choice: "#c9b27c",
};

export interface Answer {
  fit: Fit;
  why: string;
}

/** May a wire that carries `source` end in `target`? The server's table says it for names; lists and options are ours. */
export function fit(source: TypeJson, target: TypeJson, specs: Specs): Answer {
  const from = typeof source === "string" ? { name: nameOf(source), optional: isOptional(source) } : source;
  const to = typeof target === "string" ? { name: nameOf(target), optional: isOptional(target) } : target;
  if (to.name === "each" && "args" in to) {
    const item = to.args?.[0] ?? ANY;
    const one = fit(source, item, specs);
    const many = from.name === "list" && "args" in from && from.args?.[0];
    return one.fit === "no" && many ? fit(many, item, specs) : one;
  }
  if ("variable" in to && to.variable) return { fit: "fits", why: "" };
  if (to.name === "any") return { fit: "fits", why: "" };
  if (("variable" in from && from.variable) || from.name === "any") {
    return { fit: "unknown", why: "what the wire carries is only known when it is there" };
  }
  const inner = (type: typeof from): TypeJson => ("args" in type && type.args?.[0]) || ANY;
  if (from.name === "list" && to.name === "list") return fit(inner(from), inner(to), specs);
  if (from.name === "list") {
    return { fit: "no", why: `the wire carries a ${typeText(source)}, the socket takes one ${to.name}` };
  }
  if (to.name === "list") {
    return { fit: "no", why: `the socket takes a ${typeText(target)}, the wire carries one ${from.name}` };
  }
  const said: Fit | undefined = specs.connect[from.name]?.[to.name];
  const answer: Fit = chosen(from, to) ?? said ?? (from.name === to.name ? "fits" : "no");
  if (answer === "fits" && from.optional && !to.optional) {
    return { fit: "unknown", why: `the wire may carry nothing, ${to.name} is required` };
  }
  return { fit: answer, why: answer === "no" ? `the wire carries ${from.name}, the socket takes ${to.name}` : "" };
}

/** Choices fit by what they offer, which the table of names cannot say. */
function chosen(from: Exclude<TypeJson, string>, to: Exclude<TypeJson, string>): Fit | null {
  const [has, takes] = [from.choices, to.choices];
  if ((to.name === "choice" || to.name === "variant") && from.name === to.name && has && takes) {
    return has.every((choice) => takes.includes(choice)) ? "fits" : to.name === "choice" ? "unknown" : "no";
  }
  if (to.name === "choice" && ["str", "int", "choice"].includes(from.name)) return "unknown";
  return from.name === "choice" && to.name === "str" ? "fits" : null;
}

/** Does the input have a socket, does it have a widget? */
export const hasSocket = (input: InputSpec): boolean => input.wired !== false;
const TYPED = new Set(["int", "float", "str", "bool", "choice", "variant"]);
export const hasWidget = (input: InputSpec): boolean =>
  input.typed !== false && !input.gather && TYPED.has(nameOf(input.type));
