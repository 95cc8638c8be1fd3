import { BaseEdge, type Edge, type EdgeProps, getBezierPath } from "@xyflow/react";
import { memo } from "react";
import { useUi } from "../state/ui";
import { useWays } from "./useRoutes";

export type WireEdgeType = Edge<{ colour: string; unsure: boolean; stub: boolean; label: string }>;

const END = 22;

/** A wire in the colour of its type; lit when the path under the pointer goes through it. A stub shows its two ends. */
export const WireEdge = memo(function WireEdge(props: EdgeProps<WireEdgeType>) {
  const { id, sourceX, sourceY, targetX, targetY, sourcePosition, targetPosition, data, selected } = props;
  const lit = useUi((state) => state.lit.has(id));
  const into = useUi((state) => state.splicing === id);
  const way = useWays((state) => state.ways.get(id));
  const [line] = getBezierPath({ sourceX, sourceY, sourcePosition, targetX, targetY, targetPosition, curvature: 0.32 });
  const near = (a: number, b: number) => Math.abs(a - b) < 3;
  // While one of its nodes is dragged the wire is a plain curve.
  const routed = way && near(way.from.x, sourceX) && near(way.from.y, sourceY) && near(way.to.x, targetX) && near(way.to.y, targetY);
  const path = data?.stub ? `M${sourceX},${sourceY} h${END} M${targetX - END},${targetY} h${END}` : routed ? way.path : line;
  return (
    <>
      <BaseEdge
        id={id}
        path={path}
        interactionWidth={18}
        className={`wire ${selected ? "selected" : ""} ${lit || into ? "lit" : ""} ${into ? "into" : ""}`}
        style={{ stroke: data?.colour, strokeDasharray: data?.unsure ? "5 4" : undefined }}
      />
      {data?.stub ? (
        <text className="stub-name" x={targetX - END - 4} y={targetY + 4} textAnchor="end">
          {data.label}
        </text>
      ) : null}
    </>
  );
});
