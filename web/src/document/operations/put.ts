/** A node put before an input, or behind a node: the mends that move what stands there. */

import type { Json, MendEdit, NodeJson, WorkflowJson } from "../../protocol/types";
import type { Put } from "../commands";
import type { Specs } from "../specs";
import { asSource, type End, link, parseEnd } from "../wires";
import { baseName, freeName, graphAt, nodePut, rootOf, spotPut, viewKey } from "./base";
import { fresh } from "./nodes";

/** A node before a socket, with what stood there as its own input; or behind a node, for all who read from it. */
export function putPuts(
  document: WorkflowJson,
  specs: Specs,
  scope: string,
  { node, socket }: { node: string; socket: string },
  put: NonNullable<MendEdit["put"]>,
): Put[] {
  const graph = graphAt(document, scope);
  const held = graph.nodes[node];
  if (!held) return [];
  const taken = new Set(Object.keys(graph.nodes));
  const make = (type: string, given: { [name: string]: Json } = {}): [string, NodeJson] => {
    const spec = specs.byId.get(type);
    const name = freeName(baseName(type), taken);
    taken.add(name);
    const made = spec ? fresh(spec) : { type, inputs: {} };
    for (const [input, value] of Object.entries(given)) made.inputs[input] = asSource(value);
    return [name, made];
  };
  const nodes = new Map<string, NodeJson>();
  const puts: Put[] = [];
  if (put.before && put.input) {
    const [name, made] = make(put.type, put.inputs);
    const stood = held.inputs[socket];
    if (stood !== undefined) made.inputs[put.input] = stood;
    nodes.set(name, made);
    puts.push({ path: nodePut(scope, node, "inputs", socket), value: link({ node: name, output: put.output ?? "" }) });
    const [old, taker] = [`${node}.${socket}`, `${name}.${put.input}`];
    for (const [key, parameter] of Object.entries(graph.parameters ?? {}))
      if (parameter.to.includes(old))
        puts.push({
          path: [...rootOf(scope), "parameters", key],
          value: { ...parameter, to: parameter.to.map((to) => (to === old ? taker : to)) },
        });
  } else {
    const beside = put.with && make(put.with.type, put.with.inputs);
    const [name, made] = make(put.type, put.inputs);
    if (beside && put.with) {
      nodes.set(...beside);
      made.inputs[put.with.into] = link({ node: beside[0], output: put.with.output ?? "" });
    }
    const stood = held.inputs[socket];
    const source = linked(stood)?.node;
    for (const output of source ? (put.passes ?? []) : [])
      for (const [reader, json] of Object.entries(graph.nodes))
        for (const [input, value] of Object.entries(json.inputs)) {
          const from = linked(value);
          if (from?.node !== source || from?.output !== output) continue;
          made.inputs[output] = link({ node: source as string, output });
          puts.push({ path: nodePut(scope, reader, "inputs", input), value: link({ node: name, output }) });
        }
    nodes.set(name, made);
  }
  const spot = document.view?.nodes?.[viewKey(scope, node)];
  const drawn = [...nodes].flatMap(([name, value], index) => [
    { path: nodePut(scope, name), value },
    ...(spot ? [spotPut(scope, name, { x: spot.x - 260, y: spot.y - 120 * (nodes.size - index) })] : []),
  ]);
  return [...drawn, ...puts];
}

/** The end that a source is wired to, if it is a wire. */
function linked(source: Json | undefined): End | null {
  if (!source || typeof source !== "object" || Array.isArray(source) || typeof source.from !== "string") return null;
  return parseEnd(source.from);
}
