import { useMemo } from "react";
import { viewKey } from "../document/operations";
import { colourOf, fit, socketType, type Specs, specOf, typeFrom } from "../document/specs";
import { slots, wiresInto } from "../document/wires";
import type { TypeJson } from "../protocol/types";
import { documentOf, graphOf, scopeOf, useDocument } from "../state/document";
import { useUi } from "../state/ui";
import type { WireEdgeType } from "./WireEdge";

/** React Flow's edges from the document. */
export function useWires(specs: Specs): WireEdgeType[] {
  const document = useDocument(documentOf);
  const graph = useDocument(graphOf);
  const scope = useDocument(scopeOf);
  const [selected] = useUiWires();
  return useMemo(() => {
    const wires: WireEdgeType[] = [];
    for (const [name, node] of Object.entries(graph.nodes)) {
      const spec = specOf(node, document, specs);
      for (const [inputName, source] of Object.entries(node.inputs)) {
        const input = spec?.inputs.find((item) => item.name === inputName);
        for (const wire of wiresInto(name, { ...node, inputs: { [inputName]: source } })) {
          const feeder = graph.nodes[wire.from.node];
          if (!feeder) continue;
          const outputs = specOf(feeder, document, specs)?.outputs;
          const output = wire.from.output || outputs?.[0]?.name || "out";
          const type: TypeJson = typeFrom(`${wire.from.node}.${output}`, graph, document, specs);
          // A list wired whole into a growing input ends in its first slot.
          const slot = input?.gather && !wire.slot.includes("/") ? (slots(inputName, source, input.gather)[0]?.[0] ?? wire.slot) : wire.slot;
          const id = `${name}|${slot}`;
          wires.push({
            id,
            type: "wire",
            source: wire.from.node,
            sourceHandle: output,
            target: name,
            targetHandle: slot,
            selected: selected.has(id),
            zIndex: 0,
            data: {
              stub: !!document.view?.stubs?.[viewKey(scope, id)],
              label: `${wire.from.node}.${output}`,
              colour: colourOf(type, specs),
              unsure: !!input && fit(type, socketType(input), specs).fit === "no",
            },
          });
        }
      }
    }
    return wires;
  }, [document, graph, scope, specs, selected]);
}

/** Selected wires; kept beside the selected nodes, with `|` in their names. */
function useUiWires(): [ReadonlySet<string>] {
  const selected = useUi((state) => state.selected);
  return [useMemo(() => new Set(selected.filter((id) => id.includes("|"))), [selected])];
}
