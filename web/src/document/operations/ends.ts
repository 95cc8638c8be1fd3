/** The sockets of a sub-graph: shown, hidden, named; and an instance with a graph of its own. */

import type { GraphJson, Source, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";
import { endText, mapLinks, parseEnd } from "../wires";
import { freeName, graphAt, nodePut, rootOf, viewKey } from "./base";

/** An output of a node becomes one of its graph, or is one no longer. */
export function exposeOutput(document: WorkflowJson, scope: string, node: string, output: string): Command {
  const outputs = graphAt(document, scope).outputs ?? {};
  const from = `${node}.${output}`;
  const held = Object.entries(outputs).find(([, text]) => text === from)?.[0];
  if (held !== undefined) return { label: `hide ${held}`, puts: [{ path: [...rootOf(scope), "outputs", held] }, ...unread(document, scope, held)] };
  const name = freeName(output, outputs);
  return { label: `expose ${name}`, puts: [{ path: [...rootOf(scope), "outputs", name], value: from }] };
}

/** All nodes that stand for a graph, wherever they are. */
function* instances(document: WorkflowJson, title: string): Generator<{ scope: string; name: string }> {
  for (const scope of ["", ...Object.keys(document.graphs ?? {})]) {
    for (const [name, node] of Object.entries(graphAt(document, scope).nodes)) {
      const body = (node.type.startsWith("#") ? node.type : node.body)?.replace(/^#/, "");
      if (body === title) yield { scope, name };
    }
  }
}

/** Every input of a scope, changed at its links. */
function relinked(document: WorkflowJson, scope: string, change: (text: string) => string | null): Put[] {
  const puts: Put[] = [];
  for (const [name, node] of Object.entries(graphAt(document, scope).nodes)) {
    for (const [input, source] of Object.entries(node.inputs)) {
      const changed = mapLinks(source, change);
      if (changed !== source) puts.push({ path: nodePut(scope, name, "inputs", input), value: changed });
    }
  }
  for (const [key, from] of Object.entries(graphAt(document, scope).outputs ?? {})) {
    const to = change(from);
    if (to !== from) puts.push({ path: [...rootOf(scope), "outputs", key], value: to ?? undefined });
  }
  return puts;
}

/** The wires that read an output of a graph's instances are cut. */
function unread(document: WorkflowJson, title: string, output: string): Put[] {
  if (!title) return [];
  const by = new Map<string, Set<string>>();
  for (const { scope, name } of instances(document, title)) by.set(scope, (by.get(scope) ?? new Set()).add(name));
  return [...by].flatMap(([scope, names]) =>
    relinked(document, scope, (text) => {
      const end = parseEnd(text);
      return names.has(end.node) && end.output === output ? null : text;
    }),
  );
}

/** Another name for a socket of a sub-graph: at its edge, at every instance and at every wire there. */
export function renameSocket(document: WorkflowJson, title: string, side: "parameters" | "outputs", from: string, wanted: string): Command | null {
  const to = wanted.replace(/[./#]/g, " ").trim();
  const graph = graphAt(document, title);
  const held: Record<string, unknown> = graph[side] ?? {};
  if (!Object.hasOwn(held, from) || !to || to === from || Object.hasOwn(held, to)) return null;
  const named = Object.fromEntries(Object.entries(held).map(([key, value]) => [key === from ? to : key, value]));
  const puts: Put[] = [{ path: [...rootOf(title), side], value: named }];
  if (!title) return { label: `rename to ${to}`, puts };
  const found = [...instances(document, title)];
  if (side === "parameters") {
    for (const { scope, name } of found) {
      const inputs = graphAt(document, scope).nodes[name]?.inputs ?? {};
      if (!Object.hasOwn(inputs, from)) continue;
      const renamed = Object.fromEntries(Object.entries(inputs).map(([key, source]): [string, Source] => [key === from ? to : key, source]));
      puts.push({ path: nodePut(scope, name, "inputs"), value: renamed });
    }
    for (const scope of new Set(found.map((each) => each.scope))) {
      const names = new Set(found.filter((each) => each.scope === scope).map((each) => each.name));
      for (const [key, parameter] of Object.entries(graphAt(document, scope).parameters ?? {})) {
        const targets = parameter.to.map((text) => {
          const end = parseEnd(text);
          return names.has(end.node) && end.output === from ? endText({ node: end.node, output: to }) : text;
        });
        if (targets.join() !== parameter.to.join()) puts.push({ path: [...rootOf(scope), "parameters", key], value: { ...parameter, to: targets } });
      }
    }
    return { label: `rename to ${to}`, puts };
  }
  for (const scope of new Set(found.map((each) => each.scope))) {
    const names = new Set(found.filter((each) => each.scope === scope).map((each) => each.name));
    puts.push(
      ...relinked(document, scope, (text) => {
        const end = parseEnd(text);
        return names.has(end.node) && end.output === from ? endText({ node: end.node, output: to }) : text;
      }),
    );
  }
  return { label: `rename to ${to}`, puts };
}

/** How many nodes stand for this graph. */
export const shared = (document: WorkflowJson, title: string): number => [...instances(document, title)].length;

/** An instance gets a copy of its graph, so that what is changed inside changes nowhere else. */
export function makeUnique(document: WorkflowJson, scope: string, instance: string): (Command & { title: string }) | null {
  const node = graphAt(document, scope).nodes[instance];
  const from = (node?.type.startsWith("#") ? node.type : node?.body)?.replace(/^#/, "");
  const graph: GraphJson | undefined = from === undefined ? undefined : document.graphs?.[from];
  if (!node || from === undefined || !graph || shared(document, from) < 2) return null;
  const title = freeName(from.replace(/_\d+$/, ""), document.graphs ?? {});
  const puts: Put[] = [
    { path: ["graphs", title], value: graph },
    { path: nodePut(scope, instance, node.type.startsWith("#") ? "type" : "body"), value: `#${title}` },
  ];
  const prefix = `#${from}/`;
  for (const [kind, held] of Object.entries(document.view ?? {})) {
    for (const [key, value] of Object.entries(held as Record<string, unknown>)) {
      if (key.startsWith(prefix)) puts.push({ path: ["view", kind, viewKey(title, key.slice(prefix.length))], value });
    }
  }
  return { label: `a graph of its own for ${instance}`, title, puts };
}
