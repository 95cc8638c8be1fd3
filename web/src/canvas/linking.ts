/** Wires made from a list instead of a drag: which sockets of the graph take this one. */

import { connect, wouldCircle } from "../document/operations";
import { colourOf, fit, socketType, specOf, typeFrom, typeText } from "../document/specs";
import { isLink, slots } from "../document/wires";
import type { TypeJson } from "../protocol/types";
import { canvas } from "../state/canvas";
import { specsNow } from "../state/catalogue";
import { documentNow, graphNow, perform, scopeNow } from "../state/document";
import type { Linking } from "../state/ui";
import { freeSlot } from "./geometry";
import { typeAt } from "./wiring";

export interface Candidate {
  node: string;
  slot: string;
  title: string;
  type: string;
  colour: string;
  /** What is wired there now. */
  wired: string;
}

/** Every socket that the wire may end in: free ones first, then by how far away their node is. */
export function candidates(linking: Linking): { carries: TypeJson; rows: Candidate[] } {
  const specs = specsNow();
  const document = documentNow();
  const graph = graphNow();
  const carries = typeAt(linking.node, linking.slot, linking.side);
  const rows: (Candidate & { rank: number })[] = [];
  const boxes = canvas().boxes(Object.keys(graph.nodes));
  const here = boxes[linking.node];
  for (const [name, json] of Object.entries(graph.nodes)) {
    const [from, to] = linking.side === "source" ? [linking.node, name] : [name, linking.node];
    const spec = specOf(json, document, specs);
    if (!spec || wouldCircle(document, scopeNow(), from, to)) continue;
    const box = boxes[name];
    const far = here && box ? Math.hypot(box.x - here.x, box.y - here.y) : 0;
    const row = (slot: string, type: TypeJson, answer: string, wired: string) =>
      rows.push({
        node: name,
        slot,
        title: json.title ?? spec.title,
        type: typeText(type),
        colour: colourOf(type, specs),
        wired,
        rank: far + (wired ? 1e6 : 0) + (answer === "unknown" ? 2e6 : 0),
      });
    if (linking.side === "source") {
      for (const input of spec.inputs.filter((item) => item.wired !== false)) {
        const type = socketType(input);
        const answer = fit(carries, type, specs).fit;
        if (answer === "no") continue;
        const source = json.inputs[input.name];
        if (input.gather) {
          row(freeSlot(input, json), type, answer, "");
          for (const [slot, item] of slots(input.name, source, input.gather)) if (isLink(item)) row(slot, type, answer, item.from);
        } else row(input.name, type, answer, isLink(source) ? source.from : "");
      }
    } else {
      for (const output of spec.outputs) {
        const type = typeFrom(`${name}.${output.name}`, graph, document, specs);
        const answer = fit(type, carries, specs).fit;
        if (answer !== "no") row(output.name, type, answer, "");
      }
    }
  }
  return { carries, rows: rows.sort((a, b) => a.rank - b.rank) };
}

export function link(linking: Linking, row: { node: string; slot: string }): void {
  const here = { node: linking.node, slot: linking.slot };
  const [from, to] = linking.side === "source" ? [here, row] : [row, here];
  perform(connect(documentNow(), scopeNow(), { node: from.node, output: from.slot }, to));
}
