import { useReactFlow, useStore } from "@xyflow/react";
import { type PointerEvent, useEffect, useMemo, useRef } from "react";
import { useUi } from "../state/ui";
import { t } from "../words";
import { around } from "./arrange";
import { type AnyNode, boxOf } from "./deck";
import { accentNow, ground, paint } from "./paint";

const WIDTH = 160;
const HEIGHT = 104;
const MARGIN = 6;

/** The whole graph in a corner, and what part of it is on screen. A press or a drag goes there. */
export function GraphMap({ nodes }: { nodes: AnyNode[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const flow = useReactFlow();
  const transform = useStore((state) => state.transform);
  const width = useStore((state) => state.width);
  const height = useStore((state) => state.height);
  useUi((state) => state.theme); // other colours are another picture
  const whole = useMemo(() => around(nodes.map(boxOf)), [nodes]);
  const [x, y, zoom] = transform;
  const shown = { x: -x / zoom, y: -y / zoom, width: width / zoom, height: height / zoom };
  // With all of it on screen the map tells nothing, and would lie over a card.
  const needless = !!whole && whole.x >= shown.x && whole.y >= shown.y && whole.x + whole.width <= shown.x + shown.width && whole.y + whole.height <= shown.y + shown.height;
  const held = whole ? (around([whole, shown]) ?? shown) : shown;
  const scale = Math.min((WIDTH - 2 * MARGIN) / held.width, (HEIGHT - 2 * MARGIN) / held.height);
  const view = {
    zoom: scale,
    x: (WIDTH - held.width * scale) / 2 - held.x * scale,
    y: (HEIGHT - held.height * scale) / 2 - held.y * scale,
  };
  useEffect(() => {
    if (needless) return;
    const frame = requestAnimationFrame(() => {
      const context = canvas.current && ground(canvas.current, WIDTH, HEIGHT);
      if (!context) return;
      paint(context, nodes, [], view, { width: WIDTH, height: HEIGHT }, accentNow());
      context.strokeStyle = accentNow();
      context.lineWidth = 1;
      context.strokeRect(shown.x * view.zoom + view.x + 0.5, shown.y * view.zoom + view.y + 0.5, shown.width * view.zoom, shown.height * view.zoom);
    });
    return () => cancelAnimationFrame(frame);
  });
  const go = (event: PointerEvent<HTMLCanvasElement>) => {
    if (!event.buttons) return;
    const box = event.currentTarget.getBoundingClientRect();
    const spot = { x: (event.clientX - box.left - view.x) / view.zoom, y: (event.clientY - box.top - view.y) / view.zoom };
    void flow.setViewport({ zoom, x: width / 2 - spot.x * zoom, y: height / 2 - spot.y * zoom });
  };
  if (needless) return null;
  return (
    <canvas
      ref={canvas}
      className="graph-map"
      role="img"
      aria-label={t("Map of the graph")}
      style={{ width: WIDTH, height: HEIGHT }}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        go(event);
      }}
      onPointerMove={go}
    />
  );
}
