import { passes } from "../document/operations";
import type { NodeSpec } from "../protocol/types";
import { type Shape, WIDTH } from "./geometry";

/** Over a bypassed card: which input each output hands on. An output without a line gives nothing. */
export function Passing({ spec, shape }: { spec: NodeSpec | undefined; shape: Shape }) {
  const at = (type: "source" | "target", id: string) => shape.handles.find((handle) => handle.type === type && handle.id.split("/")[0] === id);
  const lines = passes(spec).flatMap(([output, input]) => {
    const [from, to] = [at("target", input), at("source", output)];
    return from && to ? [{ key: output, from: from.y + from.height / 2, to: to.y + to.height / 2 }] : [];
  });
  return (
    <svg className="passing" width={WIDTH} height={shape.height} aria-hidden="true">
      {lines.map(({ key, from, to }) => (
        <path key={key} d={`M4,${from} C${WIDTH * 0.4},${from} ${WIDTH * 0.6},${to} ${WIDTH - 4},${to}`} />
      ))}
    </svg>
  );
}
