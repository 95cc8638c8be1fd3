import type { NodeChange } from "@xyflow/react";
import { useCallback, useMemo, useState } from "react";
import { move, viewKey } from "../document/operations";
import type { Specs } from "../document/specs";
import type { Spot } from "../protocol/types";
import { documentNow, documentOf, graphOf, perform, prefixOf, scopeNow, scopeOf, useDocument } from "../state/document";
import { useRun } from "../state/run";
import { useUi } from "../state/ui";
import { Deck } from "./deck";
import type { CardNode } from "./NodeCard";

export function useCards(specs: Specs): { cards: CardNode[]; onNodesChange: (changes: NodeChange<CardNode>[]) => void } {
  const document = useDocument(documentOf);
  const graph = useDocument(graphOf);
  const scope = useDocument(scopeOf);
  const prefix = useDocument(prefixOf);
  const pictures = useRun((state) => state.run.pictures);
  const previews = useRun((state) => state.previews);
  const selected = useUi((state) => state.selected);
  const [dragged, setDragged] = useState<Record<string, Spot>>({});
  const [deck] = useState(() => new Deck());
  const cards = useMemo(
    () => deck.deal({ document, graph, scope, prefix, pictures, previews, selected, dragged, specs }),
    [deck, document, graph, scope, prefix, pictures, previews, selected, dragged, specs],
  );

  const onNodesChange = useCallback((changes: NodeChange<CardNode>[]) => {
    let moved: Record<string, Spot> | null = null;
    let done: Record<string, Spot> | null = null;
    const chosen = new Set(useUi.getState().selected);
    let picked = false;
    for (const change of changes) {
      if (change.type === "position" && change.position) {
        if (change.dragging) (moved ??= {})[change.id] = change.position;
        else (done ??= {})[change.id] = change.position;
      } else if (change.type === "select") {
        picked = true;
        if (change.selected) chosen.add(change.id);
        else chosen.delete(change.id);
      }
    }
    if (moved) {
      const fresh = moved;
      setDragged((held) => ({ ...held, ...fresh }));
    }
    if (done) {
      const scopeHeld = scopeNow();
      const view = documentNow().view?.nodes ?? {};
      const real = Object.entries(done).filter(([name, spot]) => {
        const held = view[viewKey(scopeHeld, name)];
        return held?.x !== Math.round(spot.x) || held.y !== Math.round(spot.y);
      });
      if (real.length) perform(move(scopeHeld, Object.fromEntries(real)));
      setDragged({});
    }
    if (picked) useUi.getState().set({ selected: [...chosen] });
  }, []);

  return { cards, onNodesChange };
}
