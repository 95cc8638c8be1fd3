import { BaseEdge, type Edge, type EdgeProps, getBezierPath } from "@xyflow/react";
import { memo } from "react";
import { useUi } from "../state/ui";

export type WireEdgeType = Edge<{ colour: string; unsure: boolean }>;

/** A wire in the colour of its type; lit when the path under the pointer goes through it. */
export const WireEdge = memo(function WireEdge(props: EdgeProps<WireEdgeType>) {
  const { id, sourceX, sourceY, targetX, targetY, sourcePosition, targetPosition, data, selected } = props;
  const lit = useUi((state) => state.lit.has(id));
  const [path] = getBezierPath({ sourceX, sourceY, sourcePosition, targetX, targetY, targetPosition, curvature: 0.32 });
  return (
    <BaseEdge
      id={id}
      path={path}
      interactionWidth={18}
      className={`wire ${selected ? "selected" : ""} ${lit ? "lit" : ""}`}
      style={{ stroke: data?.colour, strokeDasharray: data?.unsure ? "5 4" : undefined }}
    />
  );
});
