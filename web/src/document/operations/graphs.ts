/** Sub-graphs: made of selected nodes. */

import type { GraphJson, NodeJson, ParameterJson, Spot, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";
import { isLink, mapLinks, parseEnd, wiresInto } from "../wires";
import { freeName, graphAt, nodePut, rootOf, spotPut, viewKey } from "./base";

/** Selected nodes become a sub-graph and one instance of it; wires across its edge become its parameters and outputs. */
export function group(
  document: WorkflowJson,
  scope: string,
  names: string[],
  spots: Record<string, Spot>,
): (Command & { name: string }) | null {
  const graph = graphAt(document, scope);
  const inside = new Set(names.filter((name) => graph.nodes[name]));
  if (!inside.size) return null;
  const title = freeName("group", document.graphs ?? {});
  const nodes: GraphJson["nodes"] = {};
  const parameters: { [name: string]: ParameterJson } = {};
  const outputs: { [name: string]: string } = {};
  const inputs: NodeJson["inputs"] = {};
  const named = new Map<string, string>(); // an outside end -> the parameter that brings it in
  for (const name of inside) {
    const node = graph.nodes[name] as NodeJson;
    const kept: NodeJson["inputs"] = {};
    for (const [input, source] of Object.entries(node.inputs)) {
      const crossing = wiresInto(name, { ...node, inputs: { [input]: source } }).filter((w) => !inside.has(w.from.node));
      if (!crossing.length) {
        kept[input] = source;
        continue;
      }
      if (!isLink(source)) return null; // one growing input half inside, half outside has no form in the file
      let parameter = named.get(source.from);
      if (!parameter) {
        parameter = freeName(input, parameters);
        named.set(source.from, parameter);
        parameters[parameter] = { to: [] };
        inputs[parameter] = source;
      }
      parameters[parameter]?.to.push(`${name}.${input}`);
    }
    nodes[name] = { ...node, inputs: kept };
  }
  const instance = freeName(title, graph.nodes);
  const outward = (from: string): string => {
    const end = parseEnd(from);
    if (!inside.has(end.node)) return from;
    const found = Object.entries(outputs).find(([, held]) => held === from);
    const out = found?.[0] ?? freeName(end.output || "out", outputs);
    outputs[out] = from;
    return `${instance}.${out}`;
  };
  const puts: Put[] = [];
  for (const [name, node] of Object.entries(graph.nodes)) {
    if (inside.has(name)) continue;
    for (const [input, source] of Object.entries(node.inputs)) {
      const changed = mapLinks(source, outward);
      if (changed !== source) puts.push({ path: nodePut(scope, name, "inputs", input), value: changed });
    }
  }
  for (const [name, from] of Object.entries(graph.outputs ?? {})) {
    if (inside.has(parseEnd(from).node)) puts.push({ path: [...rootOf(scope), "outputs", name], value: outward(from) });
  }
  // A parameter of the outer graph that set an input inside now sets the instance's, through a parameter of its own.
  for (const [name, parameter] of Object.entries(graph.parameters ?? {})) {
    if (!parameter.to.some((to) => inside.has(parseEnd(to).node))) continue;
    const within = parameter.to.filter((to) => inside.has(parseEnd(to).node));
    const made = freeName(name, parameters);
    parameters[made] = { ...parameter, to: within };
    const first = parseEnd(within[0] as string);
    const held = nodes[first.node]?.inputs[first.output];
    if (held !== undefined && !isLink(held)) inputs[made] = held;
    const to = [...parameter.to.filter((item) => !within.includes(item)), `${instance}.${made}`];
    puts.push({ path: [...rootOf(scope), "parameters", name], value: { ...parameter, to } });
  }
  const held = [...inside].map((name) => spots[name] ?? { x: 0, y: 0 });
  const spot = { x: Math.min(...held.map((s) => s.x)), y: Math.min(...held.map((s) => s.y)) };
  for (const name of inside) {
    puts.push({ path: nodePut(scope, name) }, { path: ["view", "nodes", viewKey(scope, name)] });
    puts.push(spotPut(title, name, spots[name] ?? spot));
  }
  puts.push(
    { path: ["graphs", title], value: { nodes, parameters, outputs } },
    { path: nodePut(scope, instance), value: { type: `#${title}`, inputs } },
    spotPut(scope, instance, spot),
  );
  return { label: "make a sub-graph", puts, name: instance };
}
