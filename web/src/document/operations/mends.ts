/** A mend's edits, and nodes put between two sockets. */

import type { MendEdit, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";
import { outputAt, specOf, type Specs } from "../specs";
import { asSource, type End, endText, link, parseEnd, splitSlot } from "../wires";
import { baseName, freeName, graphAt, nodePut, spotPut, viewKey } from "./base";
import { fresh, removeNodes } from "./nodes";

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
