import { useEffect } from "react";
import { create } from "zustand";
import type { AnyNode } from "./deck";
import { type Ends, type Route, routes } from "./route";
import type { WireEdgeType } from "./WireEdge";

/** Graphs with more cards than this keep plain curves. */
const LARGE = 300;

/** The ways of the wires that go round cards; each drawn wire follows its own. */
export const useWays = create<{ ways: ReadonlyMap<string, Route> }>(() => ({ ways: new Map() }));

/** The places and the wires as text: only what changes them asks for new ways. */
const sign = (nodes: AnyNode[], wires: WireEdgeType[]): string =>
  nodes.map((node) => `${node.id},${node.position.x},${node.position.y},${node.height}`).join(";") + wires.map((wire) => `${wire.source}.${wire.sourceHandle}|${wire.id}`).join(";");

/** Ways are found when things have come to rest; a wire that is dragged along is a plain curve until then. */
export function useRoutes(nodes: AnyNode[], wires: WireEdgeType[], moving: boolean): void {
  const mark = moving || nodes.length > LARGE ? "" : sign(nodes, wires);
  useEffect(() => {
    if (moving) return;
    useWays.setState({ ways: mark ? routes(endsOf(nodes, wires), boxesOf(nodes)) : new Map() });
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the mark says what of them counts
  }, [mark, moving]);
}

const boxesOf = (nodes: AnyNode[]) =>
  new Map(
    nodes
      .filter((node) => node.type !== "frame" && (node.width ?? 0) > 40)
      .map((node) => [node.id, { ...node.position, width: node.width ?? 0, height: node.height ?? 0 }]),
  );

function endsOf(nodes: AnyNode[], wires: WireEdgeType[]): Ends[] {
  const held = new Map(nodes.map((node) => [node.id, node]));
  const spot = (name: string, type: "source" | "target", id: string | null | undefined) => {
    const node = held.get(name);
    const handle = node?.handles?.find((each) => each.type === type && each.id === id);
    if (!node || !handle) return null;
    const [width, height] = [handle.width ?? 0, handle.height ?? 0];
    return { x: node.position.x + handle.x + (type === "source" ? width : 0), y: node.position.y + handle.y + height / 2 };
  };
  return wires.flatMap((wire) => {
    if (wire.data?.stub) return [];
    const from = spot(wire.source, "source", wire.sourceHandle);
    const to = spot(wire.target, "target", wire.targetHandle);
    return from && to ? [{ id: wire.id, source: wire.source, target: wire.target, output: `${wire.source}.${wire.sourceHandle ?? ""}`, from, to }] : [];
  });
}
