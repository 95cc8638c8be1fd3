import "./trail.css";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { setValue } from "../../document/operations";
import { literal } from "../../document/wires";
import { api, blobUrl } from "../../protocol/http";
import type { TrailPoint } from "../../protocol/types";
import { tellApart } from "../../run/items";
import { outgoing } from "../../state/actions";
import { graphNow, graphOf, perform, scopeNow, useDocument } from "../../state/document";
import { type TrailAsk, useUi } from "../../state/ui";
import { IconButton } from "../../ui/basics";
import { t } from "../../words";

const close = () => useUi.getState().set({ trail: null });

/** Numbers by their size, anything else with the newest first. */
function ordered(points: TrailPoint[]): TrailPoint[] {
  return points.every((point) => typeof point.value === "number") ? [...points].sort((a, b) => Number(a.value) - Number(b.value)) : points;
}

/** Pictures of every value that was tried here with all else equal: one click goes back to it, nothing runs. */
export function Trail({ ask }: { ask: TrailAsk }) {
  const [points, setPoints] = useState<TrailPoint[] | null>(null);
  const box = useRef<HTMLDivElement>(null);
  const leaving = useRef<ReturnType<typeof setTimeout>>(undefined);
  const source = useDocument((state) => graphOf(state).nodes[ask.node]?.inputs[ask.input]);
  const held = literal(source);

  useEffect(() => {
    if (scopeNow()) return close();
    const stop = new AbortController();
    api.trail(outgoing(), `${ask.node}.${ask.input}`, stop.signal).then(
      (found) => setPoints(ordered(found.points)),
      () => setPoints([]),
    );
    return () => stop.abort();
  }, [ask]);

  const worth = points !== null && (ask.pinned || points.some((point) => JSON.stringify(point.value) !== JSON.stringify(held)));
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const area = element.getBoundingClientRect();
    const right = ask.box.right + 10;
    const left = right + area.width > window.innerWidth - 4 ? ask.box.left - area.width - 10 : right;
    element.style.left = `${Math.max(4, left)}px`;
    element.style.top = `${Math.max(4, Math.min(ask.box.top - 10, window.innerHeight - area.height - 56))}px`;
  }, [ask, points]);

  // It stays while the pointer is on it or on the widget; a moment's grace for the way between them.
  useEffect(() => {
    const inside = (at: { x: number; y: number }) => {
      const area = box.current?.getBoundingClientRect();
      const near = (b: { left: number; top: number; right: number; bottom: number }) => at.x >= b.left - 12 && at.x <= b.right + 12 && at.y >= b.top - 6 && at.y <= b.bottom + 6;
      return (area && near(area)) || near(ask.box);
    };
    const onMove = (event: PointerEvent) => {
      if (ask.pinned) return;
      clearTimeout(leaving.current);
      if (!inside(event)) leaving.current = setTimeout(close, 250);
    };
    const onDown = (event: PointerEvent) => {
      if (!inside(event) || (ask.pinned && !box.current?.contains(event.target as Node))) close();
    };
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape" || !ask.pinned) close();
    };
    window.addEventListener("pointermove", onMove);
    window.addEventListener("pointerdown", onDown, true);
    window.addEventListener("keydown", onKey, true);
    window.addEventListener("wheel", close, { passive: true });
    return () => {
      clearTimeout(leaving.current);
      window.removeEventListener("pointermove", onMove);
      window.removeEventListener("pointerdown", onDown, true);
      window.removeEventListener("keydown", onKey, true);
      window.removeEventListener("wheel", close);
    };
  }, [ask]);

  if (!worth) return null;
  const names = tellApart(points.map((point) => point.value));
  return (
    <div ref={box} className="trail" role="dialog" aria-label={t("Values tried for {node} {input}", { node: ask.node, input: ask.input })}>
      <header>
        <span>{points.length ? t("tried here, all else equal") : t("nothing was tried here yet with all else as it is")}</span>
        {ask.pinned ? <IconButton icon="close" label={t("Close")} onClick={close} /> : null}
      </header>
      <ul>
        {points.map((point, index) => (
          <li key={JSON.stringify(point.value)}>
            <button
              type="button"
              className={JSON.stringify(point.value) === JSON.stringify(held) ? "held" : ""}
              title={String(point.value)}
              onClick={() => {
                if (graphNow().nodes[ask.node]) perform(setValue(scopeNow(), ask.node, ask.input, point.value));
              }}
            >
              <img src={blobUrl(point.blob, 128)} alt="" />
              <span>{names[index]}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
