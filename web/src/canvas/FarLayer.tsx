import { useStore } from "@xyflow/react";
import { useEffect, useRef } from "react";
import { useUi } from "../state/ui";
import { t } from "../words";
import type { AnyNode } from "./deck";
import { accentNow, ground, paint } from "./paint";
import type { WireEdgeType } from "./WireEdge";

/** From far away the graph is one picture: no node is on the page. */
export function FarLayer({ nodes, wires }: { nodes: AnyNode[]; wires: WireEdgeType[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const transform = useStore((state) => state.transform);
  const width = useStore((state) => state.width);
  const height = useStore((state) => state.height);
  const theme = useUi((state) => state.theme);
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      const context = canvas.current && ground(canvas.current, width, height);
      const [x, y, zoom] = transform;
      if (context) paint(context, nodes, wires, { x, y, zoom }, { width, height }, accentNow());
    });
    return () => cancelAnimationFrame(frame);
  }, [nodes, wires, transform, width, height, theme]);
  return (
    <canvas ref={canvas} className="far-layer" role="img" aria-label={t("The graph from far away: {n} nodes. Zoom in to see them.", { n: nodes.length })} style={{ width, height }} />
  );
}
