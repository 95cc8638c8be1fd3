/** Copy and paste: nodes with their places, the frames and notes among them, and the sub-graphs they stand for. */

import type { Frame, GraphJson, NodeJson, Note, Spot, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";
import { endText, mapLinks, parseEnd } from "../wires";
import { freeName, graphAt, KEPT, nodePut, spotPut, viewKey } from "./base";
import { thingsIn } from "./frames";

/** What goes to the clipboard: it means the same in another tab, another window, another machine. */
export interface Clip {
  weft: "clip";
  nodes: { [name: string]: NodeJson };
  spots: { [name: string]: Spot };
  graphs?: { [name: string]: GraphJson };
  frames?: Frame[];
  notes?: Note[];
  /** What the view keeps of nodes: folded, unfolded, their colour. */
  kept?: { [K in (typeof KEPT)[number]]?: { [name: string]: true | number } };
}

const bodyOf = (node: NodeJson): string | undefined => (node.type.startsWith("#") ? node.type : node.body)?.replace(/^#/, "");

/** The names of the sub-graphs that these nodes stand for, and of those inside them. */
export function graphsOf(document: WorkflowJson, nodes: Iterable<NodeJson>): string[] {
  const found = new Set<string>();
  const pending = [...nodes];
  for (let node = pending.pop(); node; node = pending.pop()) {
    const name = bodyOf(node);
    const graph = name === undefined ? undefined : document.graphs?.[name];
    if (!graph || found.has(name as string)) continue;
    found.add(name as string);
    pending.push(...Object.values(graph.nodes));
  }
  return [...found];
}

export function copy(
  document: WorkflowJson,
  scope: string,
  names: string[],
  spots: Record<string, Spot>,
  things: { frames?: string[]; notes?: string[] } = {},
): Clip {
  const graph = graphAt(document, scope);
  const nodes = Object.fromEntries(names.flatMap((name) => (graph.nodes[name] ? [[name, graph.nodes[name]]] : [])));
  const clip: Clip = { weft: "clip", nodes, spots: Object.fromEntries(names.map((n) => [n, spots[n] ?? { x: 0, y: 0 }])) };
  const graphs = graphsOf(document, Object.values(nodes));
  if (graphs.length) clip.graphs = Object.fromEntries(graphs.map((name) => [name, document.graphs?.[name] as GraphJson]));
  const pick = <T>(all: [string, T][], wanted: string[] = []) => all.filter(([name]) => wanted.includes(name)).map(([, thing]) => thing);
  const frames = pick(thingsIn(document.view, "frames", scope), things.frames);
  const notes = pick(thingsIn(document.view, "notes", scope), things.notes);
  for (const name of Object.keys(nodes)) {
    const key = viewKey(scope, name);
    for (const kind of KEPT) {
      const value = document.view?.[kind]?.[key];
      if (value !== undefined) clip.kept = { ...clip.kept, [kind]: { ...clip.kept?.[kind], [name]: value } };
    }
  }
  return { ...clip, ...(frames.length ? { frames } : {}), ...(notes.length ? { notes } : {}) };
}

/** Is this text a clip? Anything may be in the clipboard. */
export function parseClip(text: string): Clip | null {
  try {
    const held = JSON.parse(text) as Partial<Clip> | null;
    if (held?.weft !== "clip" || typeof held.nodes !== "object" || typeof held.spots !== "object") return null;
    const sound = Object.values(held.nodes).every((node) => typeof node?.type === "string" && typeof node.inputs === "object");
    return sound ? (held as Clip) : null;
  } catch {
    return null;
  }
}

/** Paste: wires among the pasted stay; those from outside only `withWires`, and only where their node is there. */
export function paste(
  document: WorkflowJson,
  scope: string,
  clip: Clip,
  at: Spot,
  withWires: boolean,
): Command & { names: string[]; frames: string[]; notes: string[] } {
  const graph = graphAt(document, scope);
  const taken = new Set(Object.keys(graph.nodes));
  const renamed = new Map<string, string>();
  for (const name of Object.keys(clip.nodes)) {
    const made = freeName(name.replace(/_\d+$/, ""), taken);
    taken.add(made);
    renamed.set(name, made);
  }
  const corners: Spot[] = [...Object.values(clip.spots), ...(clip.frames ?? []), ...(clip.notes ?? [])];
  const left = Math.min(...corners.map((spot) => spot.x));
  const top = Math.min(...corners.map((spot) => spot.y));
  const moved = (spot: Spot): Spot => ({ x: Math.round(at.x + spot.x - left), y: Math.round(at.y + spot.y - top) });
  const { puts, graphs } = pasteGraphs(document, clip);
  const known = (node: NodeJson): NodeJson => {
    const body = bodyOf(node);
    const made = body === undefined ? undefined : graphs.get(body);
    if (!made || made === body) return node;
    return node.type.startsWith("#") ? { ...node, type: `#${made}` } : { ...node, body: `#${made}` };
  };
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
    puts.push({ path: nodePut(scope, made), value: { ...known(node), inputs } }, spotPut(scope, made, moved(clip.spots[name] ?? { x: left, y: top })));
    for (const kind of KEPT) {
      const value = clip.kept?.[kind]?.[name];
      if (value === true || typeof value === "number") puts.push({ path: ["view", kind, viewKey(scope, made)], value });
    }
  }
  const things = (kind: "frames" | "notes"): string[] => {
    const held = new Set(thingsIn(document.view, kind, scope).map(([name]) => name));
    return (clip[kind] ?? []).map((thing) => {
      const name = freeName(kind === "frames" ? "frame" : "note", held);
      held.add(name);
      puts.push({ path: ["view", kind, viewKey(scope, name)], value: { ...thing, ...moved(thing) } });
      return name;
    });
  };
  return { label: "paste", puts, names: [...renamed.values()], frames: things("frames"), notes: things("notes") };
}

/** Sub-graphs come along: one that is here already in the same words is used, one of the same name gets another name. */
function pasteGraphs(document: WorkflowJson, clip: Clip): { puts: Put[]; graphs: Map<string, string> } {
  const here = document.graphs ?? {};
  const graphs = new Map<string, string>();
  const taken = new Set(Object.keys(here));
  for (const [name, graph] of Object.entries(clip.graphs ?? {})) {
    const same = here[name] && JSON.stringify(here[name]) === JSON.stringify(graph);
    const made = same ? name : freeName(name, taken);
    taken.add(made);
    graphs.set(name, made);
  }
  const puts: Put[] = [];
  for (const [name, graph] of Object.entries(clip.graphs ?? {})) {
    const made = graphs.get(name) as string;
    if (here[made]) continue;
    const nodes = Object.fromEntries(
      Object.entries(graph.nodes).map(([inner, node]) => {
        const body = bodyOf(node);
        const other = body === undefined ? undefined : graphs.get(body);
        if (!other || other === body) return [inner, node];
        return [inner, node.type.startsWith("#") ? { ...node, type: `#${other}` } : { ...node, body: `#${other}` }];
      }),
    );
    puts.push({ path: ["graphs", made], value: { ...graph, nodes } });
  }
  return { puts, graphs };
}
