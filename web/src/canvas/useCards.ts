import type { NodeChange } from "@xyflow/react";
import { type RefObject, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { moveAll, viewKey } from "../document/operations";
import type { Specs } from "../document/specs";
import type { Spot } from "../protocol/types";
import { documentNow, documentOf, graphOf, perform, prefixOf, scopeNow, scopeOf, useDocument } from "../state/document";
import { useRun } from "../state/run";
import { useUi } from "../state/ui";
import { holds } from "./arrange";
import { type AnyNode, boxOf, Deck, things } from "./deck";
import type { CardNode } from "./NodeCard";

interface Cards {
  nodes: AnyNode[];
  cards: CardNode[];
  /** What is drawn now, for what happens between two drawings. */
  drawn: RefObject<AnyNode[]>;
  onNodesChange: (changes: NodeChange<AnyNode>[]) => void;
  /** Something is being dragged. */
  moving: boolean;
}

/** The nodes, frames and notes of the graph that is shown; what React Flow says of them goes back to the document. */
export function useCards(specs: Specs): Cards {
  const document = useDocument(documentOf);
  const graph = useDocument(graphOf);
  const scope = useDocument(scopeOf);
  const prefix = useDocument(prefixOf);
  const results = useRun((state) => state.run.pictures);
  const inputs = useRun((state) => state.inputs);
  const pictures = useMemo(() => ({ ...results, ...inputs }), [results, inputs]);
  const previews = useRun((state) => state.previews);
  const selected = useUi((state) => state.selected);
  const [dragged, setDragged] = useState<Record<string, Spot>>({});
  const [deck] = useState(() => new Deck());
  const cards = useMemo(
    () => deck.deal({ document, graph, scope, prefix, pictures, previews, selected, dragged, specs }),
    [deck, document, graph, scope, prefix, pictures, previews, selected, dragged, specs],
  );
  const nodes = useMemo(() => [...things(document, scope, selected, dragged), ...cards], [document, scope, selected, dragged, cards]);
  const drawn = useRef<AnyNode[]>(nodes);
  useEffect(() => {
    drawn.current = nodes;
  }, [nodes]);
  const carried = useRef(new Map<string, { from: Spot; members: Record<string, Spot> }>());

  /** A frame takes along what its middle lies in, but for what is dragged itself. */
  const carry = useCallback((id: string, to: Spot, into: Record<string, Spot>, own: Set<string>) => {
    let held = carried.current.get(id);
    if (!held) {
      const frame = drawn.current.find((node) => node.id === id);
      if (!frame) return;
      const box = boxOf(frame);
      const inside = drawn.current.filter((node) => node.id !== id && (node.type !== "frame" || smaller(node, frame)) && holds(box, boxOf(node)));
      held = { from: frame.position, members: Object.fromEntries(inside.map((node) => [node.id, node.position])) };
      carried.current.set(id, held);
    }
    for (const [name, spot] of Object.entries(held.members)) {
      if (!own.has(name)) into[name] = { x: spot.x + to.x - held.from.x, y: spot.y + to.y - held.from.y };
    }
  }, []);

  const onNodesChange = useCallback(
    (changes: NodeChange<AnyNode>[]) => {
      const moved: Record<string, Spot> = {};
      const done: Record<string, Spot> = {};
      const own = new Set(changes.flatMap((change) => (change.type === "position" ? [change.id] : [])));
      const chosen = new Set(useUi.getState().selected);
      let picked = false;
      for (const change of changes) {
        if (change.type === "position" && change.position) {
          const into = change.dragging ? moved : done;
          into[change.id] = change.position;
          if (change.id.startsWith("#frame/")) carry(change.id, change.position, into, own);
        } else if (change.type === "select") {
          picked = true;
          if (change.selected) chosen.add(change.id);
          else chosen.delete(change.id);
        }
      }
      if (Object.keys(moved).length) setDragged((held) => ({ ...held, ...moved }));
      if (Object.keys(done).length) {
        carried.current.clear();
        put(done);
        setDragged({});
      }
      if (picked) useUi.getState().set({ selected: [...chosen] });
    },
    [carry],
  );

  return { nodes, cards, drawn, onNodesChange, moving: Object.keys(dragged).length > 0 };
}

const smaller = (a: AnyNode, b: AnyNode): boolean => (a.width ?? 0) * (a.height ?? 0) < (b.width ?? 0) * (b.height ?? 0);

/** The drop key makes one undo step of a move and of what the drop does (a splice). */
export const DROP = "drop";

let fresh = false;
/** A copy that is taken along: making it and where it is put are one undo step. */
export const takeAlong = (): void => void (fresh = true);

/** New places by id, those that really are new: one command. */
export function put(spots: Record<string, Spot>, label = "move"): void {
  const scope = scopeNow();
  const document = documentNow();
  const view = document.view ?? {};
  const groups: Record<"nodes" | "frames" | "notes", Record<string, Spot>> = { nodes: {}, frames: {}, notes: {} };
  for (const [id, spot] of Object.entries(spots)) {
    const kind = id.startsWith("#frame/") ? "frames" : id.startsWith("#note/") ? "notes" : "nodes";
    const name = kind === "nodes" ? id : id.slice(id.indexOf("/") + 1);
    const held = view[kind]?.[viewKey(scope, name)];
    if (held?.x !== Math.round(spot.x) || held.y !== Math.round(spot.y)) groups[kind][name] = spot;
  }
  const command = moveAll(document, scope, groups);
  const joins = fresh;
  fresh = false;
  if (!command.puts.length) return;
  if (!joins) useDocument.getState().settle();
  perform({ ...command, label, merge: DROP });
}
