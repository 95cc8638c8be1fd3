/** Sub-graphs: made of selected nodes, taken apart again, renamed. */

import type { GraphJson, NodeJson, ParameterJson, Source, Spot, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";
import { asSource, endText, isLink, mapLinks, parseEnd, wiresInto } from "../wires";
import { freeName, graphAt, KEPT, nodePut, rootOf, spotPut, viewKey } from "./base";
import { thingsIn } from "./frames";

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
    for (const kind of KEPT) {
      const kept = document.view?.[kind]?.[viewKey(scope, name)];
      if (kept !== undefined) puts.push({ path: ["view", kind, viewKey(scope, name)] }, { path: ["view", kind, viewKey(title, name)], value: kept });
    }
  }
  puts.push(
    { path: ["graphs", title], value: { nodes, parameters, outputs } },
    { path: nodePut(scope, instance), value: { type: `#${title}`, inputs } },
    spotPut(scope, instance, spot),
  );
  return { label: "make a sub-graph", puts, name: instance };
}

const bodyOf = (node: NodeJson): string | undefined => (node.type.startsWith("#") ? node.type : node.body)?.replace(/^#/, "");

/** What the view keeps of a graph, under other keys; a key changed to null is dropped. */
function viewPuts(document: WorkflowJson, scope: string, change: (name: string) => string | null): Put[] {
  const puts: Put[] = [];
  const prefix = `#${scope}/`;
  for (const [kind, held] of Object.entries(document.view ?? {})) {
    for (const [key, value] of Object.entries(held as Record<string, unknown>)) {
      if (!key.startsWith(prefix)) continue;
      const to = change(key.slice(prefix.length));
      puts.push({ path: ["view", kind, key] });
      if (to !== null) puts.push({ path: ["view", kind, to], value });
    }
  }
  return puts;
}

/** An instance gives way to what is in it: wires, values and parameters go straight to the nodes inside. */
export function ungroup(document: WorkflowJson, scope: string, instance: string): (Command & { names: string[] }) | null {
  const graph = graphAt(document, scope);
  const node = graph.nodes[instance];
  const title = node?.type.startsWith("#") ? node.type.slice(1) : undefined;
  const inner = title === undefined ? undefined : document.graphs?.[title];
  if (!node || title === undefined || !inner) return null;
  const taken = new Set(Object.keys(graph.nodes));
  taken.delete(instance);
  const renamed = new Map<string, string>();
  for (const name of Object.keys(inner.nodes)) {
    const made = freeName(name, taken);
    taken.add(made);
    renamed.set(name, made);
  }
  const outside = (text: string): string => {
    const end = parseEnd(text);
    return endText({ ...end, node: renamed.get(end.node) ?? end.node });
  };
  const nodes: GraphJson["nodes"] = {};
  for (const [name, held] of Object.entries(inner.nodes)) {
    const inputs = Object.fromEntries(Object.entries(held.inputs).map(([key, source]) => [key, mapLinks(source, outside) as Source]));
    const mode = held.mode ?? (node.mode === "mute" ? node.mode : undefined);
    nodes[renamed.get(name) as string] = { ...held, inputs, ...(mode ? { mode } : {}) };
  }
  for (const [name, parameter] of Object.entries(inner.parameters ?? {})) {
    const value = node.inputs[name] ?? (parameter.default === undefined ? undefined : asSource(parameter.default));
    if (value === undefined) continue;
    for (const to of parameter.to.map(outside).map(parseEnd)) {
      const target = nodes[to.node];
      if (target) nodes[to.node] = { ...target, inputs: { ...target.inputs, [to.output]: value } };
    }
  }
  const outputs = inner.outputs ?? {};
  const through = (text: string): string | null => {
    const end = parseEnd(text);
    if (end.node !== instance) return text;
    const from = end.output ? outputs[end.output] : Object.values(outputs)[0];
    return from === undefined ? null : outside(from);
  };
  const puts: Put[] = [{ path: nodePut(scope, instance) }, ...["nodes", ...KEPT].map((kind) => ({ path: ["view", kind, viewKey(scope, instance)] }))];
  for (const [name, held] of Object.entries(nodes)) {
    const inputs = Object.entries(held.inputs).flatMap(([key, source]) => {
      const left = mapLinks(source, through);
      return left === undefined ? [] : [[key, left] as const];
    });
    puts.push({ path: nodePut(scope, name), value: { ...held, inputs: Object.fromEntries(inputs) } });
  }
  for (const [name, held] of Object.entries(graph.nodes)) {
    if (name === instance) continue;
    for (const [input, source] of Object.entries(held.inputs)) {
      const changed = mapLinks(source, through);
      if (changed !== source) puts.push({ path: nodePut(scope, name, "inputs", input), value: changed });
    }
  }
  for (const [name, from] of Object.entries(graph.outputs ?? {})) {
    const changed = through(from);
    if (changed !== from) puts.push({ path: [...rootOf(scope), "outputs", name], value: changed ?? undefined });
  }
  for (const [name, parameter] of Object.entries(graph.parameters ?? {})) {
    const to = parameter.to.flatMap((target) => {
      const end = parseEnd(target);
      return end.node === instance ? (inner.parameters?.[end.output]?.to ?? []).map(outside) : [target];
    });
    const path = [...rootOf(scope), "parameters", name];
    if (to.join() !== parameter.to.join()) puts.push({ path, value: to.length ? { ...parameter, to } : undefined });
  }
  const at = document.view?.nodes?.[viewKey(scope, instance)] ?? { x: 0, y: 0 };
  const spots = Object.keys(inner.nodes).map((name) => document.view?.nodes?.[viewKey(title, name)] ?? { x: 0, y: 0 });
  const shift = { x: at.x - Math.min(...spots.map((spot) => spot.x)), y: at.y - Math.min(...spots.map((spot) => spot.y)) };
  for (const [name, made] of renamed) {
    const spot = document.view?.nodes?.[viewKey(title, name)] ?? { x: 0, y: 0 };
    puts.push(spotPut(scope, made, { x: spot.x + shift.x, y: spot.y + shift.y }));
    for (const kind of KEPT) {
      const kept = document.view?.[kind]?.[viewKey(title, name)];
      if (kept !== undefined) puts.push({ path: ["view", kind, viewKey(scope, made)], value: kept });
    }
  }
  for (const kind of ["frames", "notes"] as const) {
    const held = new Set(thingsIn(document.view, kind, scope).map(([name]) => name));
    for (const [name, thing] of thingsIn(document.view, kind, title)) {
      const made = freeName(name, held);
      held.add(made);
      puts.push({ path: ["view", kind, viewKey(scope, made)], value: { ...thing, x: thing.x + shift.x, y: thing.y + shift.y } });
    }
  }
  if (!usedElsewhere(document, title, scope, instance)) puts.push({ path: ["graphs", title] }, ...viewPuts(document, title, () => null));
  return { label: "unpack the sub-graph", puts, names: [...renamed.values()] };
}

function usedElsewhere(document: WorkflowJson, title: string, scope: string, instance: string): boolean {
  return ["", ...Object.keys(document.graphs ?? {})].some((other) =>
    Object.entries(graphAt(document, other).nodes).some(([name, node]) => bodyOf(node) === title && !(other === scope && name === instance)),
  );
}

/** Another name for a sub-graph, everywhere it stands. Null when the name is taken or says nothing. */
export function renameGraph(document: WorkflowJson, from: string, wanted: string): (Command & { name: string }) | null {
  const to = wanted.replace(/[./#]/g, " ").trim();
  const graphs = document.graphs ?? {};
  if (!graphs[from] || !to || to === from || graphs[to]) return null;
  const named = (nodes: GraphJson["nodes"]): GraphJson["nodes"] =>
    Object.fromEntries(
      Object.entries(nodes).map(([name, node]) => {
        if (bodyOf(node) !== from) return [name, node];
        return [name, node.type.startsWith("#") ? { ...node, type: `#${to}` } : { ...node, body: `#${to}` }];
      }),
    );
  const changed = Object.fromEntries(Object.entries(graphs).map(([name, graph]) => [name === from ? to : name, { ...graph, nodes: named(graph.nodes) }]));
  return {
    label: `rename to ${to}`,
    name: to,
    puts: [{ path: ["graphs"], value: changed }, { path: ["nodes"], value: named(document.nodes) }, ...viewPuts(document, from, (name) => `#${to}/${name}`)],
  };
}
