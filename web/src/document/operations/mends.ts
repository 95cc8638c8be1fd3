/** A mend's edits: what the server proposes, as a command. */

import type { MendEdit, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";
import type { Specs } from "../specs";
import { asSource, parseEnd } from "../wires";
import { graphAt, nodePut } from "./base";
import { insertPuts } from "./between";
import { removeNodes } from "./nodes";
import { putPuts } from "./put";

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
      const [source, target] = edit.insert.between.map(parseEnd);
      if (!source || !target) return null;
      const [scope, node] = locate(document, target.node);
      const from = { ...source, node: locate(document, source.node)[1] };
      const { type, input, output } = edit.insert;
      const made = insertPuts(document, specs, scope, { type, from, to: { node, slot: target.output }, input, output });
      if (!made) return null;
      puts.push(...made.puts);
    } else if (edit.put) {
      const end = parseEnd(edit.put.before ?? edit.put.behind ?? "");
      const [scope, node] = locate(document, end.node);
      puts.push(...putPuts(document, specs, scope, { node, socket: end.output }, edit.put));
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
