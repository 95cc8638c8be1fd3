/** Where a painted mask goes in the graph: which sockets could take it, which is the likely one, and the edit itself. */

import type { Command, Put } from "../../document/commands";
import { freeName, graphAt, removeNodes, rootOf, viewKey } from "../../document/operations";
import { nameOf, specOf, type Specs } from "../../document/specs";
import { endText, mapLinks, parseEnd, reaches, wiresInto } from "../../document/wires";
import type { GraphJson, WorkflowJson } from "../../protocol/types";
import { t } from "../../words";

export interface Target {
  /** Stable, for a list to choose from. */
  id: string;
  text: string;
  /** The end whose readers are to read the painted mask instead; "" for a socket that is free. */
  instead: string;
  /** A free socket, as `node.input`. */
  socket: string;
  /** A node that was painted before: its file is replaced, its wires stay. */
  update: string;
}

interface Ground {
  document: WorkflowJson;
  scope: string;
  specs: Specs;
}

const isMask = (type: Parameters<typeof nameOf>[0]): boolean => nameOf(type) === "Mask";

/** Nodes where masks begin: a painted one, a rectangle, a picture's transparency. */
function roots(ground: Ground): { end: string; node: string; readers: string[] }[] {
  const { document, scope, specs } = ground;
  const graph = graphAt(document, scope);
  const found = new Map<string, { end: string; node: string; readers: string[] }>();
  for (const [name, json] of Object.entries(graph.nodes)) {
    for (const wire of wiresInto(name, json)) {
      const source = graph.nodes[wire.from.node];
      const spec = source && specOf(source, document, specs);
      const output = spec?.outputs.find((item) => item.name === wire.from.output) ?? spec?.outputs[0];
      if (!spec || !output || !isMask(output.type) || spec.inputs.some((input) => isMask(input.type))) continue;
      const end = endText(wire.from);
      const held = found.get(end) ?? { end, node: wire.from.node, readers: [] };
      held.readers.push(name);
      found.set(end, held);
    }
  }
  return [...found.values()];
}

/** Was this node made by the painter: a picture of which only the mask is read? */
function isPainted(graph: GraphJson, node: string): boolean {
  if (graph.nodes[node]?.type !== "image.load") return false;
  const ends = Object.entries(graph.nodes).flatMap(([name, json]) => wiresInto(name, json).filter((wire) => wire.from.node === node));
  return ends.length > 0 && ends.every((wire) => wire.from.output === "mask");
}

const titled = (graph: GraphJson, name: string): string => graph.nodes[name]?.title || name;

/** All places for a mask painted over `painted`'s picture, the likeliest first; the last is always "wire it yourself". */
export function targetsFor(ground: Ground, painted: string): Target[] {
  const { document, scope, specs } = ground;
  const graph = graphAt(document, scope);
  const list: (Target & { rank: number })[] = [];
  const readsIt = (name: string): boolean => name !== painted && reaches(graph, painted, name);
  for (const root of roots(ground)) {
    const others = root.readers.join(", ");
    if (isPainted(graph, root.node)) {
      list.push({ id: `again ${root.node}`, text: t("Change “{node}”", { node: titled(graph, root.node) }), instead: "", socket: "", update: root.node, rank: root.node === painted ? 0 : 1 });
      continue;
    }
    const own = root.node === painted;
    const near = root.readers.some(readsIt);
    const text = own ? t("As the mask of “{node}” (for {others})", { node: titled(graph, painted), others }) : t("Instead of “{node}” (for {others})", { node: titled(graph, root.node), others });
    list.push({ id: `instead ${root.end}`, text, instead: root.end, socket: "", update: "", rank: own ? 2 : near ? 3 : 6 });
  }
  for (const [name, json] of Object.entries(graph.nodes)) {
    const spec = specOf(json, document, specs);
    for (const input of spec?.inputs ?? []) {
      if (!isMask(input.type) || input.gather || input.wired === false || json.inputs[input.name] !== undefined) continue;
      // Saving a picture with holes in it is rarely what a mask is painted for.
      const rank = !readsIt(name) && name !== painted ? 7 : spec?.effect ? 8 : 4;
      list.push({ id: `to ${name}.${input.name}`, text: t("For {node} · {input}", { node: titled(graph, name), input: input.name }), instead: "", socket: `${name}.${input.name}`, update: "", rank });
    }
  }
  list.sort((a, b) => a.rank - b.rank);
  const alone: Target = { id: "alone", text: t("Only add the mask, to be wired by hand"), instead: "", socket: "", update: "" };
  const likely = list.filter((item) => item.rank < 6);
  const rest = list.filter((item) => item.rank >= 6);
  return [...likely, alone, ...rest].map(({ id, text, instead, socket, update }) => ({ id, text, instead, socket, update }));
}

/** The edit: the uploaded mask as a node, and the wires to it. One undo step. */
export function placeMask(ground: Ground, painted: string, target: Target, file: string): Command & { name: string } {
  const { document, scope, specs } = ground;
  const graph = graphAt(document, scope);
  const at = (...path: string[]) => [...rootOf(scope), "nodes", ...path];
  if (target.update) {
    return { label: "paint the mask", name: target.update, puts: [{ path: at(target.update, "inputs", "name"), value: file }] };
  }
  const name = freeName("painted mask", graph.nodes);
  const beside = document.view?.nodes?.[viewKey(scope, painted)] ?? { x: 0, y: 0 };
  const puts: Put[] = [
    { path: at(name), value: { type: "image.load", version: specs.byId.get("image.load")?.version ?? 1, title: "Painted mask", inputs: { name: file } } },
    { path: ["view", "nodes", viewKey(scope, name)], value: free(document, scope, { x: beside.x, y: beside.y + 360 }) },
  ];
  const end = `${name}.mask`;
  if (target.socket) {
    const socket = parseEnd(target.socket);
    puts.push({ path: at(socket.node, "inputs", socket.output), value: { from: end } });
  } else if (target.instead) {
    const before = parseEnd(target.instead);
    for (const [reader, json] of Object.entries(graph.nodes)) {
      for (const [input, source] of Object.entries(json.inputs)) {
        const changed = mapLinks(source, (from) => (sameEnd(from, target.instead) ? end : from));
        if (changed !== source) puts.push({ path: at(reader, "inputs", input), value: changed });
      }
    }
    // What nothing reads any more goes, with its fields in the form.
    const used = Object.entries(graph.nodes).some(([reader, json]) =>
      wiresInto(reader, json).some((wire) => wire.from.node === before.node && !sameEnd(endText(wire.from), target.instead)),
    );
    const shown = Object.values(graph.outputs ?? {}).some((from) => parseEnd(from).node === before.node);
    if (!used && !shown && before.node !== painted && graph.nodes[before.node]?.type !== "image.load") {
      const own = (path: string[]) => path.includes("inputs"); // their wires are set above
      puts.push(...removeNodes(document, scope, [before.node]).puts.filter((put) => !own(put.path)));
    }
  }
  return { label: "paint a mask", name, puts };
}

function sameEnd(a: string, b: string): boolean {
  const [x, y] = [parseEnd(a), parseEnd(b)];
  return x.node === y.node && (x.output === y.output || !x.output || !y.output);
}

/** A spot where no other node stands, its picture counted. */
function free(document: WorkflowJson, scope: string, wanted: { x: number; y: number }): { x: number; y: number } {
  const taken = Object.keys(graphAt(document, scope).nodes).flatMap((name) => document.view?.nodes?.[viewKey(scope, name)] ?? []);
  const spot = { ...wanted };
  while (taken.some((held) => Math.abs(held.x - spot.x) < 240 && Math.abs(held.y - spot.y) < 340)) spot.y += 40;
  return spot;
}
