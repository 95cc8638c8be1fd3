import { type PointerEvent, type RefObject, useCallback, useEffect, useRef, useState } from "react";
import { disconnect } from "../document/operations";
import type { Spot } from "../protocol/types";
import { documentNow, perform, scopeNow } from "../state/document";
import { useUi } from "../state/ui";
import { crossed } from "./cutting";

/** The line that is being drawn, over the graph. */
export function CutLine({ line }: { line: Spot[] }) {
  return (
    <svg className="cut-line" aria-hidden="true">
      <polyline points={line.map((spot) => `${spot.x},${spot.y}`).join(" ")} />
    </svg>
  );
}

/** Ctrl or Alt with the right button, or any drag after the command: what the line crosses is cut. */
export function useCutting(box: RefObject<HTMLElement | null>) {
  const ready = useUi((state) => state.cutting);
  const [line, setLine] = useState<Spot[] | null>(null);
  const drawn = useRef<Spot[] | null>(null);
  const listening = useRef<AbortController | null>(null);
  const cut = useRef(0);
  const mine = (event: { button: number; ctrlKey: boolean; altKey: boolean; metaKey: boolean }) =>
    (event.button === 2 && (event.ctrlKey || event.altKey || event.metaKey)) || (event.button === 0 && useUi.getState().cutting);

  const move = useCallback(
    (event: globalThis.PointerEvent) => {
      const area = box.current?.getBoundingClientRect();
      if (!drawn.current || !area) return;
      drawn.current = [...drawn.current, { x: event.clientX, y: event.clientY }];
      setLine(drawn.current.map((spot) => ({ x: spot.x - area.x, y: spot.y - area.y })));
    },
    [box],
  );
  const end = useCallback(() => {
    const held = drawn.current;
    drawn.current = null;
    setLine(null);
    listening.current?.abort();
    if (!held || !box.current) return;
    cut.current = held.length > 2 ? performance.now() : 0;
    useUi.getState().set({ cutting: false });
    const ends = crossed(box.current, held).map((id) => ({ node: id.slice(0, id.indexOf("|")), slot: id.slice(id.indexOf("|") + 1) }));
    if (ends.length) perform(disconnect(documentNow(), scopeNow(), ends));
  }, [box]);
  useEffect(() => end, [end]);

  return {
    ready,
    line,
    /** The menu of the right button does not open where the button has just cut. */
    justCut: () => performance.now() - cut.current < 400 || drawn.current !== null,
    onPointerDown: (event: PointerEvent) => {
      if (!mine(event)) return;
      event.stopPropagation();
      event.preventDefault();
      drawn.current = [{ x: event.clientX, y: event.clientY }];
      listening.current = new AbortController();
      const { signal } = listening.current;
      window.addEventListener("pointermove", move, { signal });
      window.addEventListener("pointerup", end, { signal });
    },
    onMouseDown: (event: React.MouseEvent) => {
      if (mine(event)) event.stopPropagation();
    },
  };
}
