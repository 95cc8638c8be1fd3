/** What a dragged wire may do: which sockets take it, and what dropping it does. */

import type { Connection } from "@xyflow/react";
import { chain } from "../document/commands";
import { connect, converters, disconnect, wouldCircle } from "../document/operations";
import { fit, hasWidget, socketType, specOf, typeFrom, typeText } from "../document/specs";
import { isLink } from "../document/wires";
import type { InputSpec, Spot, TypeJson, WorkflowJson } from "../protocol/types";
import { specsNow } from "../state/catalogue";
import { documentNow, graphNow, perform, scopeNow } from "../state/document";
import { useUi, type Wiring } from "../state/ui";
import { t } from "../words";
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

/** A wire as one undo step; `instead` of one that ended elsewhere before. */
export function wire(made: Connection, instead?: { node: string; slot: string }): void {
  const { sourceHandle, targetHandle } = made;
  if (!sourceHandle || !targetHandle) return;
  const scope = scopeNow();
  const join = (document: WorkflowJson) => connect(document, scope, { node: made.source, output: sourceHandle }, { node: made.target, slot: targetHandle });
  if (!instead || (instead.node === made.target && instead.slot === targetHandle)) perform(join(documentNow()));
  else perform(chain(documentNow(), "move a wire", (document) => disconnect(document, scope, [instead]), join));
}

interface Socket {
  node: string;
  handle: string;
}

/** The two ends in the order of the wire, whichever was dragged. */
function ends(held: Wiring, other: Socket): { from: { node: string; output: string }; to: { node: string; slot: string } } {
  const here = { node: held.node, handle: held.handle };
  const [from, to] = held.type === "source" ? [here, other] : [other, here];
  return { from: { node: from.node, output: from.handle }, to: { node: to.node, slot: to.handle } };
}

/** The wire does not fit: what could stand between the two is offered. Nothing where nothing can. */
export function offerConversion(held: Wiring, other: Socket, at: Spot): boolean {
  const { from, to } = ends(held, other);
  if (wouldCircle(documentNow(), scopeNow(), from.node, to.node)) return false;
  const [source, target] = [typeAt(from.node, from.output, "source"), typeAt(to.node, to.slot, "target")];
  if (!converters(source, target, specsNow()).length) return false;
  const why = t("{source} does not fit {target}. Put between them:", { source: typeText(source), target: typeText(target) });
  useUi.getState().set({ palette: { at, between: { from, to, why } } });
  return true;
}

/** A wire dropped on a node's body goes to the socket of the row it was dropped on, else to the first free one that
 * fits, or by way of what makes it fit. */
export function joinNode(held: Wiring, node: string, at: Spot, row?: string): void {
  const specs = specsNow();
  const document = documentNow();
  const graph = graphNow();
  const json = graph.nodes[node];
  const spec = json && specOf(json, document, specs);
  if (!spec || node === held.node) return;
  if (held.type === "source") {
    if (wouldCircle(document, scopeNow(), held.node, node)) return;
    const open = spec.inputs.filter((item) => item.wired !== false);
    const fits = open.filter((input) => fit(held.carries, socketType(input), specs).fit === "fits");
    const meant = fits.find((item) => item.name === row?.split("/")[0]);
    if (meant && row) {
      perform(connect(document, scopeNow(), { node: held.node, output: held.handle }, { node, slot: row }));
      return;
    }
    const typed = (item: InputSpec) => Number(hasWidget(item));
    const free = fits.filter((item) => json.inputs[item.name] === undefined).sort((a, b) => typed(a) - typed(b));
    const input = free[0] ?? fits[0];
    const slotOf = (item: InputSpec) => (item.gather ? freeSlot(item, json) : item.name);
    if (input) perform(connect(document, scopeNow(), { node: held.node, output: held.handle }, { node, slot: slotOf(input) }));
    else {
      const near = open.filter((item) => !isLink(json.inputs[item.name]) && converters(held.carries, socketType(item), specs).length);
      const found = near.find((item) => item.default === undefined) ?? near[0];
      if (found) offerConversion(held, { node, handle: slotOf(found) }, at);
    }
  } else {
    if (wouldCircle(document, scopeNow(), node, held.node)) return;
    const gives = spec.outputs.filter((out) => fit(out.type, held.carries, specs).fit === "fits");
    const output = gives.find((out) => out.name === row) ?? gives[0];
    if (output) perform(connect(document, scopeNow(), { node, output: output.name }, { node: held.node, slot: held.handle }));
    else {
      const near = spec.outputs.find((out) => converters(out.type, held.carries, specs).length);
      if (near) offerConversion(held, { node, handle: near.name }, at);
    }
  }
}
