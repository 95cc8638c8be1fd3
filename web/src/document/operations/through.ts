/** Nodes taken out with their wires joined, wires moved together, reroutes, and values that become nodes. */

import type { InputSpec, Json, NodeSpec, Spot, WorkflowJson } from "../../protocol/types";
import { apply, type Command, type Put } from "../commands";
import { nameOf, specOf, type Specs } from "../specs";
import { asSource, type End, endText, isLink, link, literal, mapLinks, parseEnd, wiresOf } from "../wires";
import { freeName, graphAt, nodePut, rootOf, spotPut } from "./base";
import { fresh, removeNodes } from "./nodes";
import type { Slot } from "./between";
import { connect } from "./wires";

/** Which input an output hands on when its node is bypassed or taken out; as the engine does it. */
export function passes(spec: NodeSpec | undefined): [output: string, input: string][] {
  if (!spec) return [];
  return spec.id === "reroute" ? [["value", "value"]] : (spec.bypass ?? []);
}

/** The nodes go, and what they would have handed on when bypassed comes straight from where it came from. */
export function dissolve(document: WorkflowJson, specs: Specs, scope: string, names: string[]): Command {
  const gone = new Set(names);
  const graph = graphAt(document, scope);
  const origin = (text: string): string => {
    let here = text;
    for (let turn = 0; turn < 10_000; turn++) {
      const end = parseEnd(here);
      const node = gone.has(end.node) ? graph.nodes[end.node] : undefined;
      if (!node) return here;
      const spec = specOf(node, document, specs);
      const input = passes(spec).find(([output]) => output === (end.output || spec?.outputs[0]?.name))?.[1];
      const source = input === undefined ? undefined : node.inputs[input];
      if (!isLink(source)) return text;
      here = source.from;
    }
    return text;
  };
  const puts: Put[] = [];
  for (const [name, node] of Object.entries(graph.nodes)) {
    if (gone.has(name)) continue;
    for (const [input, source] of Object.entries(node.inputs)) {
      const changed = mapLinks(source, origin);
      if (changed !== source) puts.push({ path: nodePut(scope, name, "inputs", input), value: changed });
    }
  }
  for (const [key, from] of Object.entries(graph.outputs ?? {})) {
    if (origin(from) !== from) puts.push({ path: [...rootOf(scope), "outputs", key], value: origin(from) });
  }
  const joined = apply(document, { label: "", puts }).document;
  const rest = removeNodes(joined, scope, names);
  return { label: names.length === 1 ? `take out ${names[0]}` : `take out ${names.length} nodes`, puts: [...puts, ...rest.puts] };
}

/** All wires of one output begin at another. */
export function rewire(document: WorkflowJson, scope: string, from: End, to: End): Command {
  const puts: Put[] = [];
  for (const [name, node] of Object.entries(graphAt(document, scope).nodes)) {
    for (const [input, source] of Object.entries(node.inputs)) {
      const changed = mapLinks(source, (text) => {
        const end = parseEnd(text);
        return end.node === from.node && (end.output || from.output) === from.output ? endText(to) : text;
      });
      if (changed !== source) puts.push({ path: nodePut(scope, name, "inputs", input), value: changed });
    }
  }
  return { label: `wires to ${endText(to)}`, puts };
}

/** How many wires begin at an output. */
export const fanOut = (document: WorkflowJson, scope: string, from: End): Slot[] =>
  [...wiresOf(graphAt(document, scope))].filter((wire) => wire.from.node === from.node && (wire.from.output || from.output) === from.output);

/** A point in a wire that can be dragged. */
export function reroute(document: WorkflowJson, scope: string, from: End, to: Slot, spot: Spot): Command & { name: string } {
  const name = freeName("reroute", graphAt(document, scope).nodes);
  const puts: Put[] = [
    { path: nodePut(scope, name), value: { type: "reroute", inputs: { value: link(from) } } },
    spotPut(scope, name, spot),
    ...connect(document, scope, { node: name, output: "value" }, to).puts,
  ];
  return { label: "reroute", name, puts };
}

const MAKERS: Record<string, string> = { int: "values.int", float: "values.float", str: "values.text", bool: "values.bool" };

/** The node that can hold what is typed into this input; undefined where none can. */
export const makerOf = (input: InputSpec, specs: Specs): NodeSpec | undefined =>
  input.wired === false || input.gather ? undefined : specs.byId.get(MAKERS[nameOf(input.type)] ?? "");

/** A typed value becomes a node of its own, wired where it stood, so that several inputs can share it. */
export function valueNode(document: WorkflowJson, specs: Specs, scope: string, node: string, input: InputSpec, spot: Spot): (Command & { name: string }) | null {
  const graph = graphAt(document, scope);
  const held = graph.nodes[node];
  const spec = makerOf(input, specs);
  const output = spec?.outputs[0];
  if (!held || !spec || !output || isLink(held.inputs[input.name])) return null;
  const value = literal(held.inputs[input.name]) ?? input.default;
  if (value === "random" || value === "increment") return null;
  const name = freeName(input.name, graph.nodes);
  const made = fresh(spec);
  if (value !== undefined && value !== null) made.inputs.value = asSource(value);
  made.title = input.name.replaceAll("_", " ");
  const puts: Put[] = [
    { path: nodePut(scope, name), value: made },
    spotPut(scope, name, spot),
    { path: nodePut(scope, node, "inputs", input.name), value: link({ node: name, output: output.name }) },
  ];
  // What the form set here it now sets there.
  const [old, taker] = [`${node}.${input.name}`, `${name}.value`];
  for (const [key, parameter] of Object.entries(graph.parameters ?? {})) {
    if (parameter.to.includes(old)) puts.push({ path: [...rootOf(scope), "parameters", key], value: { ...parameter, to: parameter.to.map((to) => (to === old ? taker : to)) } });
  }
  return { label: `${input.name} as a node`, name, puts };
}

/** The wire goes, and what its node held is typed in here; the node goes too when nothing else reads it. */
export function typedAgain(document: WorkflowJson, scope: string, node: string, input: InputSpec): Command | null {
  const graph = graphAt(document, scope);
  const source = graph.nodes[node]?.inputs[input.name];
  if (!isLink(source)) return null;
  const from = parseEnd(source.from);
  const maker = graph.nodes[from.node];
  const known = maker && Object.values(MAKERS).includes(maker.type) ? literal(maker.inputs.value) : undefined;
  const value: Json | undefined = known ?? undefined;
  const put: Put = { path: nodePut(scope, node, "inputs", input.name), value: value === undefined ? undefined : asSource(value) };
  const readers = [...wiresOf(graph)].filter((wire) => wire.from.node === from.node).length;
  const exposed = Object.entries(graph.parameters ?? {}).filter(([, parameter]) => parameter.to.includes(`${from.node}.value`));
  if (known === undefined || readers > 1) return { label: `${input.name} typed in`, puts: [put] };
  const back: Put[] = exposed.map(([key, parameter]) => ({
    path: [...rootOf(scope), "parameters", key],
    value: { ...parameter, to: parameter.to.map((to) => (to === `${from.node}.value` ? `${node}.${input.name}` : to)) },
  }));
  const moved = apply(document, { label: "", puts: [put, ...back] }).document;
  return { label: `${input.name} typed in`, puts: [put, ...back, ...removeNodes(moved, scope, [from.node]).puts] };
}
