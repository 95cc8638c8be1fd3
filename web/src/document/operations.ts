/** What a person does to a graph, each as one command. A `scope` is "" for the workflow itself or a sub-graph's name. */

import type {
  GraphJson,
  InputSpec,
  Json,
  MendEdit,
  NodeJson,
  NodeSpec,
  ParameterJson,
  Source,
  Spot,
  WorkflowJson,
} from "../protocol/types";
import type { Command, Put } from "./commands";
import { outputAt, specOf, type Specs } from "./specs";
import { asSource, type End, endText, isLink, link, mapLinks, parseEnd, reaches, splitSlot, wiresInto } from "./wires";

export type MaybeCommand = Command | null;

export const EMPTY: WorkflowJson = { weft: 1, title: "", nodes: {}, parameters: {}, outputs: {}, view: {} };

export const rootOf = (scope: string): string[] => (scope ? ["graphs", scope] : []);
export const graphAt = (document: WorkflowJson, scope: string): GraphJson =>
  scope ? (document.graphs?.[scope] ?? { nodes: {} }) : document;

/** The key under which a node's place is kept: its name, inside a sub-graph after `#graph/`. */
export const viewKey = (scope: string, name: string): string => (scope ? `#${scope}/${name}` : name);

/** `sample`, or `sample_2` when it is taken. Names exclude `. / #`. */
export function freeName(wanted: string, taken: { [name: string]: unknown } | Set<string>): string {
  const has = (name: string) => (taken instanceof Set ? taken.has(name) : Object.hasOwn(taken, name));
  const base = wanted.replace(/[./#]/g, " ").trim() || "node";
  let name = base;
  for (let number = 2; has(name); number++) name = `${base}_${number}`;
  return name;
}

export const baseName = (type: string): string => type.replace(/^#/, "").split(".").pop() ?? type;

function nodePut(scope: string, name: string, ...rest: string[]): string[] {
  return [...rootOf(scope), "nodes", name, ...rest];
}

const spotPut = (scope: string, name: string, spot: Spot | undefined): Put => ({
  path: ["view", "nodes", viewKey(scope, name)],
  value: spot && { x: Math.round(spot.x), y: Math.round(spot.y) },
});

/** A node of this type; what has to be typed in begins at its first choice or lowest value. */
export function fresh(spec: NodeSpec): NodeJson {
  const inputs: NodeJson["inputs"] = {};
  for (const input of spec.inputs) {
    const required = input.default === undefined && !input.gather;
    const type = typeof input.type === "string" ? { name: input.type } : input.type;
    if (!required || input.typed === false || type.name.endsWith("?")) continue;
    if ("choices" in type && type.choices?.length) inputs[input.name] = type.choices[0] as Json;
    else if (type.name === "int" || type.name === "float") inputs[input.name] = Math.max(1, input.widget?.low ?? 1);
    else if (type.name === "bool") inputs[input.name] = true;
    else if (type.name === "str") inputs[input.name] = "";
  }
  const node: NodeJson = { type: spec.id, inputs };
  return spec.flow || spec.id.startsWith("#") ? node : { type: spec.id, version: spec.version ?? 1, inputs };
}

export function addNode(document: WorkflowJson, scope: string, spec: NodeSpec, spot: Spot): Command & { name: string } {
  const name = freeName(baseName(spec.id), graphAt(document, scope).nodes);
  return {
    label: `add ${spec.title}`,
    name,
    puts: [{ path: nodePut(scope, name), value: fresh(spec) }, spotPut(scope, name, spot)],
  };
}

/** Remove nodes with all that names them: wires, parameters' targets, outputs, places. */
export function removeNodes(document: WorkflowJson, scope: string, names: string[]): Command {
  const graph = graphAt(document, scope);
  const gone = new Set(names);
  const puts: Put[] = [];
  for (const [name, node] of Object.entries(graph.nodes)) {
    if (gone.has(name)) continue;
    for (const [input, source] of Object.entries(node.inputs)) {
      const left = mapLinks(source, (from) => (gone.has(parseEnd(from).node) ? null : from));
      if (left !== source) puts.push({ path: nodePut(scope, name, "inputs", input), value: left });
    }
  }
  for (const [name, parameter] of Object.entries(graph.parameters ?? {})) {
    const to = parameter.to.filter((target) => !gone.has(parseEnd(target).node));
    if (to.length === parameter.to.length) continue;
    const path = [...rootOf(scope), "parameters", name];
    puts.push({ path, value: to.length ? { ...parameter, to } : undefined });
  }
  for (const [name, from] of Object.entries(graph.outputs ?? {})) {
    if (gone.has(parseEnd(from).node)) puts.push({ path: [...rootOf(scope), "outputs", name] });
  }
  for (const name of names) {
    puts.push({ path: nodePut(scope, name) }, { path: ["view", "nodes", viewKey(scope, name)] });
  }
  return { label: names.length === 1 ? `delete ${names[0]}` : `delete ${names.length} nodes`, puts };
}

export function setValue(scope: string, node: string, input: string, value: Json | undefined): Command {
  return {
    label: `${node}.${input}`,
    puts: [{ path: nodePut(scope, node, "inputs", input), value: value === undefined ? undefined : asSource(value) }],
    merge: `${scope}/${node}.${input}`,
  };
}

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

export function move(scope: string, spots: Record<string, Spot>): Command {
  return {
    label: "move",
    puts: Object.entries(spots).map(([name, spot]) => spotPut(scope, name, spot)),
  };
}

export function setMode(document: WorkflowJson, scope: string, names: string[], mode: "mute" | "bypass"): Command {
  const graph = graphAt(document, scope);
  const all = names.every((name) => graph.nodes[name]?.mode === mode);
  return {
    label: all ? `un${mode}` : mode,
    puts: names.map((name) => ({ path: nodePut(scope, name, "mode"), value: all ? undefined : mode })),
  };
}

export function retitle(scope: string, name: string, title: string): Command {
  return { label: "title", puts: [{ path: nodePut(scope, name, "title"), value: title || undefined }] };
}

export function collapse(document: WorkflowJson, scope: string, names: string[]): Command {
  const held = document.view?.collapsed ?? {};
  const all = names.every((name) => held[viewKey(scope, name)]);
  return {
    label: all ? "unfold" : "fold",
    puts: names.map((name) => ({
      path: ["view", "collapsed", viewKey(scope, name)],
      value: all ? undefined : true,
    })),
  };
}

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

/** The name changes everywhere it stands: wires, parameters, outputs, the place. */
export function rename(document: WorkflowJson, scope: string, from: string, wanted: string): Command | null {
  const graph = graphAt(document, scope);
  const node = graph.nodes[from];
  const to = wanted.replace(/[./#]/g, " ").trim();
  if (!node || !to || to === from || graph.nodes[to]) return null;
  const change = (text: string): string => {
    const end = parseEnd(text);
    return end.node === from ? endText({ ...end, node: to }) : text;
  };
  const nodes = Object.fromEntries(
    Object.entries(graph.nodes).map(([name, held]) => {
      const inputs = Object.fromEntries(
        Object.entries(held.inputs).map(([key, source]) => [key, mapLinks(source, change) as Source]),
      );
      return [name === from ? to : name, { ...held, inputs }];
    }),
  );
  const puts: Put[] = [{ path: [...rootOf(scope), "nodes"], value: nodes }];
  if (graph.parameters) {
    const parameters = Object.fromEntries(
      Object.entries(graph.parameters).map(([key, p]): [string, ParameterJson] => [key, { ...p, to: p.to.map(change) }]),
    );
    puts.push({ path: [...rootOf(scope), "parameters"], value: parameters });
  }
  if (graph.outputs) {
    const outputs = Object.fromEntries(Object.entries(graph.outputs).map(([key, out]) => [key, change(out)]));
    puts.push({ path: [...rootOf(scope), "outputs"], value: outputs });
  }
  const spot = document.view?.nodes?.[viewKey(scope, from)];
  if (spot) puts.push({ path: ["view", "nodes", viewKey(scope, from)] }, spotPut(scope, to, spot));
  return { label: `rename to ${to}`, puts };
}

/** Show an input in the form, or take it out again. */
export function expose(document: WorkflowJson, scope: string, node: string, input: InputSpec): Command {
  const graph = graphAt(document, scope);
  const target = `${node}.${input.name}`;
  const held = Object.entries(graph.parameters ?? {}).find(([, parameter]) => parameter.to.includes(target));
  if (held) {
    const [name, parameter] = held;
    const to = parameter.to.filter((item) => item !== target);
    const value = to.length ? { ...parameter, to } : undefined;
    return { label: `hide ${name}`, puts: [{ path: [...rootOf(scope), "parameters", name], value }] };
  }
  const name = freeName(input.name, graph.parameters ?? {});
  return { label: `expose ${name}`, puts: [{ path: [...rootOf(scope), "parameters", name], value: { to: [target] } }] };
}

/** A mend's edits as one command. Paths of nodes inside an instance (`hires/denoise`) lead into its sub-graph. */
export function mend(document: WorkflowJson, specs: Specs, edits: MendEdit[]): Command | null {
  const puts: Put[] = [];
  for (const edit of edits) {
    const target = edit.set ?? edit.wire ?? edit.unset;
    if (target) {
      const end = parseEnd(target);
      const [scope, node] = locate(document, end.node);
      const path = nodePut(scope, node, "inputs", end.output);
      if (edit.set) puts.push({ path, value: asSource(edit.value ?? null) });
      else if (edit.wire && edit.from) puts.push({ path, value: { from: edit.from } });
      else puts.push({ path });
    } else if (edit.remove) {
      const [scope, node] = locate(document, edit.remove);
      puts.push(...removeNodes(document, scope, [node]).puts);
    } else if (edit.insert) {
      const made = insertPuts(document, specs, edit.insert);
      if (!made) return null;
      puts.push(...made);
    } else return null;
  }
  return puts.length ? { label: "mend", puts } : null;
}

/** Which sub-graph and which node in it a path names. */
export function locate(document: WorkflowJson, path: string): [scope: string, node: string] {
  let scope = "";
  const parts = path.split("/");
  for (const part of parts.slice(0, -1)) {
    if (/^\d+$/.test(part)) continue; // an item of a map, a turn of a fold
    const node = graphAt(document, scope).nodes[part];
    const inner = node?.type.startsWith("#") ? node.type : node?.body;
    if (!inner) break;
    scope = inner.replace(/^#/, "");
  }
  return [scope, parts[parts.length - 1] ?? path];
}

/** A node between two sockets: the wire goes in where its type fits, what else it needs comes from what is there. */
function insertPuts(document: WorkflowJson, specs: Specs, insert: { type: string; between: [string, string] }): Put[] | null {
  const spec = specs.byId.get(insert.type);
  const [source, target] = insert.between.map(parseEnd) as [End, End];
  const [scope, node] = locate(document, target.node);
  const graph = graphAt(document, scope);
  const carried = outputAt(insert.between[0], graph, document, specs);
  const held = graph.nodes[node];
  if (!spec || !carried || !held) return null;
  const name = freeName(baseName(spec.id), graph.nodes);
  const made = fresh(spec);
  const wanted = specOf(held, document, specs)?.inputs.find((item) => item.name === target.output);
  const same = (a: unknown, b: unknown) => JSON.stringify(a).replace("?", "") === JSON.stringify(b).replace("?", "");
  const entry = spec.inputs.find((item) => same(item.type, carried.type));
  if (!entry) return null;
  made.inputs[entry.name] = link(source);
  for (const input of spec.inputs) {
    if (input === entry || input.default !== undefined || input.gather || made.inputs[input.name] !== undefined) continue;
    for (const [other, json] of Object.entries(graph.nodes)) {
      const out = specOf(json, document, specs)?.outputs.find((item) => same(item.type, input.type));
      if (out && other !== node) {
        made.inputs[input.name] = link({ node: other, output: out.name });
        break;
      }
    }
  }
  const exit = spec.outputs.find((out) => !wanted || same(out.type, wanted.type)) ?? spec.outputs[0];
  if (!exit) return null;
  const a = document.view?.nodes?.[viewKey(scope, source.node)];
  const b = document.view?.nodes?.[viewKey(scope, node)];
  const spot = a && b ? { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 + 60 } : undefined;
  return [
    { path: nodePut(scope, name), value: made },
    ...(spot ? [spotPut(scope, name, spot)] : []),
    { path: nodePut(scope, node, "inputs", target.output), value: link({ node: name, output: exit.name }) },
  ];
}

/** Put a node of this type into a wire: the splice. Null where its type does not pass it on. */
export function splice(document: WorkflowJson, specs: Specs, from: End, to: { node: string; slot: string }, type: string): Command | null {
  const puts = insertPuts(document, specs, { type, between: [endText(from), `${to.node}.${splitSlot(to.slot)[0]}`] });
  return puts && { label: `insert ${type}`, puts };
}

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
