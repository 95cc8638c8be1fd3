import {
  Background,
  BackgroundVariant,
  type Node,
  type NodeChange,
  ReactFlow,
  type ReactFlowState,
  SelectionMode,
  useReactFlow,
  useStore,
  useStoreApi,
} from "@xyflow/react";
import { type DragEvent, type MouseEvent, type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { spliceNode } from "../document/operations";
import { colourOf } from "../document/specs";
import type { Spot } from "../protocol/types";
import { type Carried, carried } from "../state/carried";
import { setCanvas } from "../state/canvas";
import { specsNow, useCatalogue } from "../state/catalogue";
import { usePreferences } from "../state/preferences";
import { documentNow, graphNow, graphOf, perform, scopeNow, scopeOf, tabOf, useDocument } from "../state/document";
import { remember, useUi } from "../state/ui";
import "./canvas.css";
import { around } from "./arrange";
import { CutLine, useCutting } from "./CutLine";
import { wireUnder } from "./cutting";
import { type AnyNode, boxOf, roomFor } from "./deck";
import { type EndNode, EndTag, endsOf } from "./EndTag";
import { FarLayer } from "./FarLayer";
import { FrameCard, NoteCard } from "./FrameCard";
import { GraphMap } from "./GraphMap";
import { useCanvasKeys } from "./keyboard";
import { FAR, NodeCard } from "./NodeCard";
import { pathOf } from "./path";
import { DROP, put, useCards } from "./useCards";
import { useCopying } from "./useCopying";
import { useRoutes } from "./useRoutes";
import { useWires } from "./useWires";
import { useWiring } from "./useWiring";
import { WireEdge, type WireEdgeType } from "./WireEdge";
import { viewOf, viewWith } from "./view";
import { valid, wire } from "./wiring";

const nodeTypes = { card: NodeCard, frame: FrameCard, note: NoteCard, end: EndTag };
const edgeTypes = { wire: WireEdge };
const NOTHING: ReadonlySet<string> = new Set();
const NO_NODES: AnyNode[] = [];
const NO_WIRES: WireEdgeType[] = [];
/** Below this zoom, or where more plain boxes than this would be on screen, one canvas draws them all. */
const FARTHER = 0.15;
const BOXES = 220;

export interface MenuTarget {
  kind: "pane" | "node" | "wire" | "selection" | "socket";
  id?: string;
  /** Of a socket: which of its node, and on which side. */
  slot?: string;
  side?: "source" | "target";
}

interface CanvasProps {
  label: string;
  /** `over` is the node that the files were dropped on. */
  onDropFiles: (files: File[], at: Spot, over?: string) => void;
  /** Something of a list of ours: a picture that was made, a model. */
  onDropThing: (thing: Carried, at: Spot, over?: string) => void;
  onMenu: (target: MenuTarget, at: Spot) => void;
  children?: ReactNode;
}

/** Is the view so far away that the graph is one picture? */
const isFar = (nodes: AnyNode[]) => (state: ReactFlowState): boolean => {
  const [x, y, zoom] = state.transform;
  if (zoom < FARTHER) return true;
  if (zoom >= FAR || nodes.length <= BOXES) return false;
  let seen = 0;
  for (const node of nodes) {
    const left = node.position.x * zoom + x;
    const top = node.position.y * zoom + y;
    if (left < state.width && top < state.height && left + (node.width ?? 0) * zoom > 0 && top + (node.height ?? 0) * zoom > 0) seen++;
  }
  return seen > BOXES;
};

export function Canvas({ onDropFiles, onDropThing, onMenu, label, children }: CanvasProps) {
  const specs = useCatalogue((state) => state.specs);
  const { nodes, cards, drawn, onNodesChange, moving } = useCards(specs);
  const graph = useDocument(graphOf);
  const scope = useDocument(scopeOf);
  const tagged = useMemo(() => [...nodes, ...endsOf(cards, graph, scope)], [nodes, cards, graph, scope]);
  const edges = useWires(specs);
  useRoutes(nodes, edges, moving);
  const flow = useReactFlow<AnyNode | EndNode, WireEdgeType>();
  const store = useStoreApi();
  // React Flow measures whatever is mounted, whether it knows the size or not. Of a plain box it would find no sockets,
  // and the wires would be gone: geometry.ts says where everything is, so nothing is measured.
  useState(() => store.setState({ updateNodeInternals: () => undefined }));
  const far = useStore(isFar(nodes));
  const box = useRef<HTMLDivElement>(null);
  const pointer = useRef<Spot | null>(null);
  const minimap = useUi((state) => state.minimap);
  const snap = usePreferences((state) => state.snap);
  const theme = useUi((state) => state.theme);
  const touching = useUi((state) => state.touching);
  const wheelPans = useUi((state) => state.wheelPans);
  const wiring = useUi((state) => state.wiring);
  const tab = useDocument((state) => state.active);
  const depth = useDocument((state) => tabOf(state).trail.length);
  const loaded = useCatalogue((state) => state.loaded);
  const { onKeyDown, onFocus, focusNode } = useCanvasKeys(box, drawn);

  const fitTo = useCallback(
    (names?: string[], sight?: "first") => {
      const shown = drawn.current.filter((node) => !names?.length || names.includes(node.id));
      const area = around(shown.map(sight ? roomFor : boxOf));
      if (!area || !box.current) return;
      const size = { width: box.current.clientWidth, height: box.current.clientHeight };
      void flow.setViewport(viewOf(area, size, names?.length ? "near" : (sight ?? "whole")));
    },
    [flow, drawn],
  );

  /** What the keyboard stands on comes into view; nothing moves when it is there already. */
  const reveal = useCallback(
    (id: string) => {
      const node = drawn.current.find((item) => item.id === id);
      if (!node || !box.current) return;
      const view = viewWith(boxOf(node), { width: box.current.clientWidth, height: box.current.clientHeight }, flow.getViewport());
      if (view) void flow.setViewport(view);
    },
    [flow, drawn],
  );

  useEffect(() => {
    setCanvas({
      boxes: (ids) => Object.fromEntries(drawn.current.filter((node) => ids.includes(node.id)).map((node) => [node.id, boxOf(node)])),
      all: () => drawn.current.map((node) => node.id),
      put,
      reveal,
      focus: focusNode,
      fit: fitTo,
      toCanvas: (spot) => flow.screenToFlowPosition(spot),
      middle: () => {
        const area = box.current?.getBoundingClientRect();
        return flow.screenToFlowPosition({ x: (area?.left ?? 0) + (area?.width ?? 0) / 2, y: (area?.top ?? 0) + (area?.height ?? 0) / 3 });
      },
      pointer: () => {
        const area = box.current?.getBoundingClientRect();
        const spot = pointer.current ?? { x: (area?.left ?? 0) + (area?.width ?? 0) / 2, y: (area?.top ?? 0) + (area?.height ?? 0) / 3 };
        return flow.screenToFlowPosition(spot);
      },
      view: () => {
        const { x, y, zoom } = flow.getViewport();
        const area = box.current;
        return { x: ((area?.clientWidth ?? 0) / 2 - x) / zoom, y: ((area?.clientHeight ?? 0) / 2 - y) / zoom, zoom };
      },
      look: ({ x, y, zoom }) => void flow.setCenter(x, y, { zoom }),
      zoom: (by) => void flow.zoomTo(Math.min(2.5, Math.max(0.02, flow.getZoom() * by))),
    });
    return () => setCanvas(null);
  }, [flow, fitTo, reveal, drawn, focusNode]);

  useEffect(() => {
    if (!loaded) return;
    const frame = requestAnimationFrame(() => fitTo(undefined, "first"));
    return () => cancelAnimationFrame(frame);
  }, [tab, depth, loaded, fitTo]);

  const cutting = useCutting(box);

  const wiringHands = useWiring(drawn);
  const copying = useCopying(box);

  /** The wire that the dragged node would go into, when it passes on what that carries. */
  const spliceUnder = (event: globalThis.MouseEvent | TouchEvent, node: Node): string | null => {
    const point = "touches" in event ? (event.touches[0] ?? event.changedTouches[0]) : event;
    const area = box.current?.querySelector(`[data-id="${CSS.escape(node.id)}"]`)?.getBoundingClientRect();
    if (!point || !area || node.type !== "card") return null;
    const points = [
      { x: point.clientX, y: point.clientY },
      { x: area.x + area.width / 2, y: area.y + 16 },
      { x: area.x + area.width / 2, y: area.y + area.height / 2 },
    ];
    const found = wireUnder(points, node.id);
    return found && spliceOf(found.id, node.id) ? found.id : null;
  };
  const spliceOf = (id: string, name: string) => {
    const edge = edges.find((item) => item.id === id);
    if (!edge?.sourceHandle || !edge.targetHandle) return null;
    return spliceNode(documentNow(), specsNow(), scopeNow(), name, { node: edge.source, output: edge.sourceHandle }, { node: edge.target, slot: edge.targetHandle });
  };
  const menuAt = (target: MenuTarget) => (event: { clientX: number; clientY: number; preventDefault: () => void }) => {
    event.preventDefault();
    if (!cutting.justCut()) onMenu(target, { x: event.clientX, y: event.clientY });
  };

  return (
    <div
      ref={box}
      className={`canvas ${cutting.ready ? "cutting" : ""}`}
      role="application"
      aria-label={label}
      aria-describedby="canvas-keys"
      tabIndex={0}
      onKeyDown={onKeyDown}
      onFocus={onFocus}
      onPointerDownCapture={(event) => {
        cutting.onPointerDown(event);
        wiringHands.onPointerDown(event);
      }}
      onMouseDownCapture={(event) => {
        cutting.onMouseDown(event);
        if (!event.isPropagationStopped() && !copying(event)) wiringHands.onMouseDown(event);
      }}
      onClickCapture={wiringHands.onClick}
      onContextMenuCapture={(event) => {
        const socket = (event.target as HTMLElement).closest<HTMLElement>(".socket");
        if (!socket) return;
        event.stopPropagation();
        const side = socket.classList.contains("target") ? "target" : "source";
        menuAt({ kind: "socket", id: socket.dataset.nodeid, slot: socket.dataset.handleid, side })(event);
      }}
      onContextMenu={(event) => event.preventDefault()}
      onPointerMove={(event) => {
        pointer.current = { x: event.clientX, y: event.clientY };
      }}
      onPointerLeave={() => {
        pointer.current = null;
      }}
      onDoubleClick={(event: MouseEvent) => {
        if (!(event.target as HTMLElement).classList.contains("react-flow__pane")) return;
        useUi.getState().set({ palette: { at: flow.screenToFlowPosition({ x: event.clientX, y: event.clientY }) } });
      }}
      onDragOver={(event: DragEvent) => event.preventDefault()}
      onDrop={(event: DragEvent) => {
        event.preventDefault();
        const files = [...event.dataTransfer.files];
        const over = (event.target as HTMLElement).closest<HTMLElement>("[data-node]")?.dataset.node;
        const at = flow.screenToFlowPosition({ x: event.clientX, y: event.clientY });
        const thing = carried(event.dataTransfer);
        if (thing) onDropThing(thing, at, over);
        else if (files.length) onDropFiles(files, at, over);
      }}
    >
      <ReactFlow<AnyNode | EndNode, WireEdgeType>
        nodes={far ? NO_NODES : tagged}
        edges={far ? NO_WIRES : edges}
        nodeTypes={nodeTypes}
        edgeTypes={edgeTypes}
        onNodesChange={(changes) => onNodesChange(changes as NodeChange<AnyNode>[])}
        onEdgesChange={(changes) => {
          const chosen = new Set(useUi.getState().selected);
          for (const change of changes) {
            if (change.type === "select") chosen[change.selected ? "add" : "delete"](change.id);
          }
          useUi.getState().set({ selected: [...chosen] });
        }}
        onConnect={(made) => wire(made)}
        isValidConnection={valid}
        onConnectStart={wiringHands.onConnectStart}
        onConnectEnd={wiringHands.onConnectEnd}
        onReconnect={wiringHands.onReconnect}
        onReconnectStart={wiringHands.onReconnectStart}
        onReconnectEnd={wiringHands.onReconnectEnd}
        onNodeDrag={(event, node, dragged) => {
          const into = dragged.length === 1 ? spliceUnder(event, node) : null;
          if (into !== useUi.getState().splicing) useUi.getState().set({ splicing: into });
        }}
        onNodeDragStop={(_, node) => {
          const into = useUi.getState().splicing;
          const command = into && spliceOf(into, node.id);
          if (command) perform({ ...command, merge: DROP });
          useUi.getState().set({ splicing: null });
          useDocument.getState().settle();
        }}
        onEdgeDoubleClick={wiringHands.onEdgeDoubleClick}
        onPaneContextMenu={(event) => menuAt({ kind: "pane" })(event as MouseEvent)}
        onNodeContextMenu={(event, node) => {
          if (!useUi.getState().selected.includes(node.id)) useUi.getState().set({ selected: [node.id] });
          menuAt({ kind: useUi.getState().selected.length > 1 ? "selection" : "node", id: node.id })(event);
        }}
        onEdgeContextMenu={(event, edge) => {
          if (!useUi.getState().selected.includes(edge.id)) useUi.getState().set({ selected: [edge.id] });
          menuAt({ kind: "wire", id: edge.id })(event);
        }}
        onSelectionContextMenu={menuAt({ kind: "selection" })}
        onNodeDoubleClick={(event, node) => {
          if (node.type !== "card") return;
          if ((event.target as HTMLElement).closest(".nodrag, .rest, input, textarea, select")) return;
          const inner = node.data.json.type.startsWith("#") ? node.data.json.type : node.data.json.body;
          if (!inner) {
            if ((event.target as HTMLElement).closest(".title")) useUi.getState().set({ writing: node.id });
            return;
          }
          useUi.getState().set({ selected: [] });
          const path = node.data.json.body ? `${node.data.path}/0` : node.data.path;
          useDocument.getState().enter({ scope: inner.replace(/^#/, ""), path });
        }}
        onEdgeMouseEnter={(_, edge) => useUi.getState().set({ lit: pathOf(graphNow(), edge) })}
        onEdgeMouseLeave={() => useUi.getState().set({ lit: NOTHING })}
        onPaneClick={() => useUi.getState().set({ selected: [] })}
        onlyRenderVisibleElements
        deleteKeyCode={null}
        disableKeyboardA11y
        selectionKeyCode="Shift"
        multiSelectionKeyCode={["Control", "Meta", "Shift"]}
        selectionMode={touching ? SelectionMode.Partial : SelectionMode.Full}
        panOnScroll={wheelPans}
        connectionLineStyle={wiring ? { stroke: colourOf(wiring.carries, specs) } : undefined}
        zoomOnDoubleClick={false}
        minZoom={0.02}
        maxZoom={2.5}
        snapToGrid={snap}
        snapGrid={[8, 8]}
        connectionRadius={26}
        nodeDragThreshold={1}
        colorMode={theme}
        proOptions={{ hideAttribution: true }}
      >
        <Background variant={BackgroundVariant.Dots} gap={24} size={1.2} />
        {far ? <FarLayer nodes={nodes} wires={edges} /> : null}
        {minimap ? <GraphMap nodes={nodes} /> : null}
      </ReactFlow>
      {cutting.line ? <CutLine line={cutting.line} /> : null}
      {children}
    </div>
  );
}

export const toggleMinimap = (): void => {
  const next = !useUi.getState().minimap;
  remember("weft.minimap", next ? "on" : "off");
  useUi.getState().set({ minimap: next });
};
