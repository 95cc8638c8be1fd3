/** Wires by hand: begun at a socket, taken up at their end, moved together, dropped where they fit or on nothing. */

import { type Connection, type Edge, type FinalConnectionState, type HandleType, type OnConnectStartParams, useReactFlow } from "@xyflow/react";
import { type MouseEvent, type PointerEvent, type RefObject, useCallback, useRef } from "react";
import { disconnect, fanOut, reroute, rewire, wouldCircle } from "../document/operations";
import { fit, typeText } from "../document/specs";
import type { Spot } from "../protocol/types";
import { specsNow } from "../state/catalogue";
import { documentNow, perform, scopeNow } from "../state/document";
import { complain, useUi, type Wiring } from "../state/ui";
import { t } from "../words";
import type { AnyNode } from "./deck";
import { joinNode, offerConversion, typeAt, wire } from "./wiring";

type Release = globalThis.MouseEvent | TouchEvent;
const pointOf = (event: Release) => ("changedTouches" in event ? event.changedTouches[0] : event);
const set = useUi.getState().set;

/** The socket of a node whose row the pointer is in. */
function rowAt(node: AnyNode | undefined, at: Spot, side: "source" | "target"): string | undefined {
  const y = at.y - (node?.position.y ?? 0);
  return node?.handles?.find((handle) => handle.type === side && Math.abs(handle.y + (handle.height ?? 0) / 2 - y) <= 11)?.id ?? undefined;
}

/** All wires of one output go to another, where each of them fits. */
function moveAll(held: Wiring, node: string, output: string): void {
  const [from, to] = [{ node: held.node, output: held.handle }, { node, output }];
  const carries = typeAt(node, output, "source");
  const ends = fanOut(documentNow(), scopeNow(), from);
  const wrong = ends.find((end) => fit(carries, typeAt(end.node, end.slot, "target"), specsNow()).fit === "no");
  const round = ends.find((end) => wouldCircle(documentNow(), scopeNow(), node, end.node));
  if (wrong) complain(t("{type} does not fit {socket}.", { type: typeText(carries), socket: `${wrong.node}.${wrong.slot}` }));
  else if (round) complain(t("the wires would form a circle"));
  else perform(rewire(documentNow(), scopeNow(), from, to));
}

export function useWiring(drawn: RefObject<AnyNode[]>) {
  const flow = useReactFlow();
  /** A wire's end was taken up: React Flow tells its end twice, and the second time says which wire it was. */
  const taken = useRef(false);
  const touched = useRef(false);

  const onConnectStart = useCallback((event: globalThis.MouseEvent | TouchEvent, { nodeId, handleId, handleType }: OnConnectStartParams) => {
    if (!nodeId || !handleId || !handleType) return;
    const many = event.shiftKey && handleType === "source" && fanOut(documentNow(), scopeNow(), { node: nodeId, output: handleId }).length > 0;
    set({ wiring: { node: nodeId, handle: handleId, type: handleType, carries: typeAt(nodeId, handleId, handleType), ...(many ? { many } : {}) } });
  }, []);

  const drop = (event: Release, state: FinalConnectionState, held: Wiring): "kept" | "void" => {
    const point = pointOf(event);
    if (!point) return "kept";
    const at = flow.screenToFlowPosition({ x: point.clientX, y: point.clientY });
    const { toHandle } = state;
    if (held.many) {
      if (toHandle?.id && toHandle.type === "source" && !(toHandle.nodeId === held.node && toHandle.id === held.handle)) moveAll(held, toHandle.nodeId, toHandle.id);
      return "kept";
    }
    if (toHandle) {
      if (toHandle.id && toHandle.type !== held.type) offerConversion(held, { node: toHandle.nodeId, handle: toHandle.id }, at);
      return "kept";
    }
    const over = window.document.elementFromPoint(point.clientX, point.clientY)?.closest<HTMLElement>("[data-node]")?.dataset.node;
    if (!over) return "void";
    const row = rowAt(drawn.current.find((node) => node.id === over), at, held.type === "source" ? "target" : "source");
    joinNode(held, over, at, row);
    return "kept";
  };

  const onConnectEnd = (event: Release, state: FinalConnectionState) => {
    if (taken.current) return;
    const held = useUi.getState().wiring;
    set({ wiring: null });
    if (!held || (state.isValid && !held.many)) return;
    const point = pointOf(event);
    if (drop(event, state, held) === "void" && point) set({ palette: { at: flow.screenToFlowPosition({ x: point.clientX, y: point.clientY }), wire: held } });
  };

  const cut = (edge: Edge) => disconnect(documentNow(), scopeNow(), [{ node: edge.target, slot: edge.targetHandle ?? "" }]);

  return {
    onConnectStart,
    onConnectEnd,
    onReconnect: (old: Edge, made: Connection) => {
      if (old.source === made.source && old.sourceHandle === made.sourceHandle && old.target === made.target && old.targetHandle === made.targetHandle) return;
      wire(made, { node: old.target, slot: old.targetHandle ?? "" });
    },
    onReconnectStart: (_: unknown, edge: Edge, handleType: HandleType) => {
      taken.current = true;
      // The end that stays is the one a new socket has to fit.
      const fixed: Wiring =
        handleType === "target"
          ? { node: edge.target, handle: edge.targetHandle ?? "", type: "target", carries: typeAt(edge.target, edge.targetHandle ?? "", "target") }
          : { node: edge.source, handle: edge.sourceHandle ?? "", type: "source", carries: typeAt(edge.source, edge.sourceHandle ?? "", "source") };
      set({ wiring: fixed });
    },
    /** Dropped on nothing the wire is gone; with Shift, what takes it is offered instead. */
    onReconnectEnd: (event: Release, edge: Edge, _: HandleType, state: FinalConnectionState) => {
      const held = useUi.getState().wiring;
      taken.current = false;
      set({ wiring: null });
      if (state.isValid || !held) return;
      const point = pointOf(event);
      if (drop(event, state, held) !== "void" || !point) return;
      if (event.shiftKey) set({ palette: { at: flow.screenToFlowPosition({ x: point.clientX, y: point.clientY }), wire: held } });
      else perform(cut(edge));
    },
    onEdgeDoubleClick: (event: MouseEvent, edge: Edge) => {
      const at = flow.screenToFlowPosition({ x: event.clientX, y: event.clientY });
      const made = reroute(documentNow(), scopeNow(), { node: edge.source, output: edge.sourceHandle ?? "" }, { node: edge.target, slot: edge.targetHandle ?? "" }, { x: at.x - 11, y: at.y - 11 });
      perform(made);
      set({ selected: [made.name] });
    },
    /** Pressed on a wired input, the wire's end comes along; as it does when pressed just beside it. */
    onMouseDown: (event: MouseEvent): boolean => {
      if (touched.current) return false;
      const socket = (event.target as HTMLElement).closest<HTMLElement>(".socket.target");
      if (!socket || event.button !== 0 || event.ctrlKey || event.metaKey || event.altKey) return false;
      const id = `${socket.dataset.nodeid ?? ""}|${socket.dataset.handleid ?? ""}`;
      const end = window.document.querySelector(`.react-flow__edge[data-id="${CSS.escape(id)}"] .react-flow__edgeupdater-target`);
      if (!end) return false;
      event.stopPropagation();
      event.preventDefault();
      end.dispatchEvent(new window.MouseEvent("mousedown", { bubbles: true, cancelable: true, view: window, button: 0, clientX: event.clientX, clientY: event.clientY, shiftKey: event.shiftKey }));
      return true;
    },
    /** With Shift a box is drawn over the canvas only: on a socket it means all wires, on a node one more of them. */
    onPointerDown: (event: PointerEvent): void => {
      touched.current = event.pointerType === "touch";
      const target = event.target as HTMLElement;
      // A field takes it itself (finer steps), and React Flow lets what is in `.nokey` alone.
      if (event.shiftKey && event.button === 0 && target.closest(".react-flow__node") && !target.closest(".nokey")) event.stopPropagation();
    },
    /** A finger hides what it drags over: tapped, a socket offers what it can be wired to, as it does to the keyboard. */
    onClick: (event: MouseEvent): void => {
      const socket = touched.current ? (event.target as HTMLElement).closest<HTMLElement>(".socket") : null;
      if (!socket?.dataset.handleid) return;
      event.stopPropagation();
      set({ linking: { node: socket.dataset.nodeid ?? "", slot: socket.dataset.handleid, side: socket.classList.contains("source") ? "source" : "target" } });
    },
  };
}
