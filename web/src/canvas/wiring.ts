/** What a dragged wire may do: which sockets take it, and what dropping it does. */

import type { Connection } from "@xyflow/react";
import { connect, wouldCircle } from "../document/operations";
import { fit, socketType, specOf, typeFrom } from "../document/specs";
import type { TypeJson } from "../protocol/types";
import { specsNow } from "../state/catalogue";
import { documentNow, graphNow, perform, scopeNow } from "../state/document";
import type { Wiring } from "../state/ui";
import { freeSlot } from "./geometry";

/** The type at a socket of the graph that is shown. */
export function typeAt(node: string, handle: string, side: "source" | "target"): TypeJson {
  const specs = specsNow();
  const graph = graphNow();
  if (side === "source") return typeFrom(`${node}.${handle}`, graph, documentNow(), specs);
  const json = graph.nodes[node];
  const spec = json && specOf(json, documentNow(), specs);
  const input = spec?.inputs.find((item) => item.name === handle.split("/")[0]);
  return input ? socketType(input) : "any";
}

type Ends = Pick<Connection, "source" | "target"> & { sourceHandle?: string | null; targetHandle?: string | null };

export function valid(wire: Ends): boolean {
  if (!wire.source || !wire.target || !wire.sourceHandle || !wire.targetHandle) return false;
  if (wouldCircle(documentNow(), scopeNow(), wire.source, wire.target)) return false;
  return fit(typeAt(wire.source, wire.sourceHandle, "source"), typeAt(wire.target, wire.targetHandle, "target"), specsNow()).fit !== "no";
}

export function wire(made: Connection): void {
  if (!made.sourceHandle || !made.targetHandle) return;
  perform(connect(documentNow(), scopeNow(), { node: made.source, output: made.sourceHandle }, { node: made.target, slot: made.targetHandle }));
}

/** A wire dropped on a node's body goes to its first socket that fits. */
export function joinNode(held: Wiring, node: string): void {
  const specs = specsNow();
  const document = documentNow();
  const graph = graphNow();
  const json = graph.nodes[node];
  const spec = json && specOf(json, document, specs);
  if (!spec || node === held.node) return;
  if (held.type === "source") {
    if (wouldCircle(document, scopeNow(), held.node, node)) return;
    const fits = spec.inputs.filter((input) => input.wired !== false && fit(held.carries, socketType(input), specs).fit === "fits");
    const input = fits.find((item) => json.inputs[item.name] === undefined) ?? fits[0];
    if (!input) return;
    const slot = input.gather ? freeSlot(input, json) : input.name;
    perform(connect(document, scopeNow(), { node: held.node, output: held.handle }, { node, slot }));
  } else {
    if (wouldCircle(document, scopeNow(), node, held.node)) return;
    const output = spec.outputs.find((out) => fit(out.type, held.carries, specs).fit === "fits");
    if (output) perform(connect(document, scopeNow(), { node, output: output.name }, { node: held.node, slot: held.handle }));
  }
}
