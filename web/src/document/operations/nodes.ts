/** Nodes: made, removed, named, typed into, moved, muted, folded, shown in the form. */

import type { InputSpec, Json, NodeJson, NodeSpec, ParameterJson, Source, Spot, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";
import { asSource, endText, mapLinks, parseEnd } from "../wires";
import { baseName, freeName, graphAt, KEPT, nodePut, rootOf, spotPut, viewKey } from "./base";

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
    puts.push({ path: nodePut(scope, name) }, ...["nodes", ...KEPT].map((kind) => ({ path: ["view", kind, viewKey(scope, name)] })));
  }
  for (const key of Object.keys(document.view?.stubs ?? {})) {
    if (names.some((name) => key.startsWith(`${viewKey(scope, name)}|`))) puts.push({ path: ["view", "stubs", key] });
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

/** Show the widgets that few people turn, or fold them away again. */
export function unfold(document: WorkflowJson, scope: string, name: string): Command {
  const path = ["view", "open", viewKey(scope, name)];
  const open = document.view?.open?.[viewKey(scope, name)];
  return { label: open ? "fewer widgets" : "all widgets", puts: [{ path, value: open ? undefined : true }] };
}

/** A colour of their own for nodes; without a hue they have their chapter's again. */
export function colour(scope: string, names: string[], hue: number | undefined): Command {
  return { label: "colour", puts: names.map((name) => ({ path: ["view", "hues", viewKey(scope, name)], value: hue })) };
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
  for (const kind of KEPT) {
    const kept = document.view?.[kind]?.[viewKey(scope, from)];
    if (kept !== undefined) puts.push({ path: ["view", kind, viewKey(scope, from)] }, { path: ["view", kind, viewKey(scope, to)], value: kept });
  }
  for (const key of Object.keys(document.view?.stubs ?? {})) {
    const start = `${viewKey(scope, from)}|`;
    if (!key.startsWith(start)) continue;
    puts.push({ path: ["view", "stubs", key] }, { path: ["view", "stubs", `${viewKey(scope, to)}|${key.slice(start.length)}`], value: true });
  }
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
