import type { Node, NodeProps } from "@xyflow/react";
import { memo } from "react";
import { renameSocket } from "../document/operations";
import { parseEnd } from "../document/wires";
import type { GraphJson } from "../protocol/types";
import { documentNow, perform } from "../state/document";
import { useUi } from "../state/ui";
import { t } from "../words";
import type { CardNode } from "./NodeCard";

/** A socket of the sub-graph that is shown, beside the socket inside that it leads to. */
export type EndNode = Node<{ scope: string; name: string; side: "parameters" | "outputs" }, "end">;

const HEIGHT = 20;
const widthOf = (name: string): number => Math.min(180, 36 + 7 * name.length);

/** The tags of a sub-graph's inputs and outputs; the whole workflow has none, its form and its results show them. */
export function endsOf(cards: CardNode[], graph: GraphJson, scope: string): EndNode[] {
  if (!scope) return [];
  const at = new Map(cards.map((card) => [card.id, card]));
  const tag = (side: "parameters" | "outputs", name: string, text: string): EndNode[] => {
    const end = parseEnd(text);
    const card = at.get(end.node);
    const type = side === "parameters" ? "target" : "source";
    const handle = card?.handles?.find((each) => each.type === type && (each.id === end.output || each.id?.startsWith(`${end.output}/`) || !end.output));
    if (!card || !handle) return [];
    const width = widthOf(name);
    const x = card.position.x + (side === "parameters" ? handle.x - width - 6 : handle.x + (handle.width ?? 0) + 6);
    return [
      {
        id: `#end/${side}/${name}/${text}`,
        type: "end",
        position: { x, y: card.position.y + handle.y + ((handle.height ?? 0) - HEIGHT) / 2 },
        data: { scope, name, side },
        width,
        height: HEIGHT,
        measured: { width, height: HEIGHT },
        handles: [],
        draggable: false,
        selectable: false,
        focusable: false,
        style: { pointerEvents: "all" },
      },
    ];
  };
  return [
    ...Object.entries(graph.parameters ?? {}).flatMap(([name, { to }]) => to.flatMap((text) => tag("parameters", name, text))),
    ...Object.entries(graph.outputs ?? {}).flatMap(([name, from]) => tag("outputs", name, from)),
  ];
}

export const EndTag = memo(function EndTag({ data }: NodeProps<EndNode>) {
  const { scope, name, side } = data;
  const rename = () => useUi.getState().set({ asking: { label: t("Name of the socket"), value: name, done: (text) => void perform(renameSocket(documentNow(), scope, side, name, text)) } });
  const words = side === "parameters" ? t("Input {name} of the sub-graph: press to rename it", { name }) : t("Output {name} of the sub-graph: press to rename it", { name });
  return (
    <button type="button" className={`end-tag ${side}`} title={words} aria-label={words} onClick={rename}>
      {side === "parameters" ? `${name} ▸` : `▸ ${name}`}
    </button>
  );
});
