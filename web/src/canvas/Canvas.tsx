import { Background, BackgroundVariant, type FinalConnectionState, MiniMap, ReactFlow, useReactFlow } from "@xyflow/react";
import { type DragEvent, type MouseEvent, useCallback, useEffect, useRef } from "react";
import { disconnect } from "../document/operations";
import type { Spot } from "../protocol/types";
import { setCanvas } from "../state/canvas";
import { useCatalogue } from "../state/catalogue";
import { documentNow, graphNow, perform, scopeNow, tabOf, useDocument } from "../state/document";
import { remember, useUi, type Wiring } from "../state/ui";
import { type CardData, type CardNode, NodeCard } from "./NodeCard";
import { pathOf } from "./path";
import { useCards } from "./useCards";
import { useWires } from "./useWires";
import { WireEdge, type WireEdgeType } from "./WireEdge";
import { joinNode, typeAt, valid, wire } from "./wiring";

const nodeTypes = { card: NodeCard };
const edgeTypes = { wire: WireEdge };
const NOTHING: ReadonlySet<string> = new Set();

export function Canvas({ onDropFiles, label }: { onDropFiles: (files: File[], at: Spot) => void; label: string }) {
  const specs = useCatalogue((state) => state.specs);
  const { cards, onNodesChange } = useCards(specs);
  const edges = useWires(specs);
  const flow = useReactFlow<CardNode, WireEdgeType>();
  const box = useRef<HTMLDivElement>(null);
  const pointer = useRef<Spot | null>(null);
  const minimap = useUi((state) => state.minimap);
  const theme = useUi((state) => state.theme);
  const tab = useDocument((state) => state.active);
  const depth = useDocument((state) => tabOf(state).trail.length);
  const loaded = useCatalogue((state) => state.loaded);
  const drawnCards = useRef(cards);
  useEffect(() => {
    drawnCards.current = cards;
  }, [cards]);

  const fitTo = useCallback(
    (names?: string[]) => {
      const wanted = drawnCards.current.filter((card) => !names?.length || names.includes(card.id));
      if (!wanted.length || !box.current) return;
      const left = Math.min(...wanted.map((card) => card.position.x));
      const top = Math.min(...wanted.map((card) => card.position.y));
      const right = Math.max(...wanted.map((card) => card.position.x + card.data.shape.width));
      const bottom = Math.max(...wanted.map((card) => card.position.y + card.data.shape.height));
      const { clientWidth: width, clientHeight: height } = box.current;
      const margin = width < 700 ? 24 : 56;
      const scale = Math.min((width - 2 * margin) / (right - left), (height - 2 * margin - 24) / (bottom - top), 1);
      // A large graph begins readable, at its left: a wall of specks helps nobody.
      const zoom = scale >= 0.42 || (names?.length ?? 0) > 0 ? Math.max(scale, 0.4) : width < 700 ? 0.55 : 0.8;
      const fits = (right - left) * zoom <= width - margin;
      void flow.setViewport({
        zoom,
        x: fits ? (width - (right - left) * zoom) / 2 - left * zoom : margin - left * zoom,
        y: (bottom - top) * zoom <= height - margin ? (height - (bottom - top) * zoom) / 2 - top * zoom : margin - top * zoom,
      });
    },
    [flow],
  );

  useEffect(() => {
    setCanvas({
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
    });
    return () => setCanvas(null);
  }, [flow, fitTo]);

  useEffect(() => {
    if (!loaded) return;
    const frame = requestAnimationFrame(() => fitTo());
    return () => cancelAnimationFrame(frame);
  }, [tab, depth, loaded, fitTo]);

  const endWiring = (event: globalThis.MouseEvent | TouchEvent, state: FinalConnectionState) => {
    const held = useUi.getState().wiring;
    useUi.getState().set({ wiring: null });
    if (!held || state.isValid || state.toHandle) return;
    const point = "changedTouches" in event ? event.changedTouches[0] : event;
    if (!point) return;
    const over = window.document.elementFromPoint(point.clientX, point.clientY)?.closest<HTMLElement>("[data-node]")?.dataset.node;
    if (over) joinNode(held, over);
    else useUi.getState().set({ palette: { at: flow.screenToFlowPosition({ x: point.clientX, y: point.clientY }), wire: held } });
  };

  return (
    <div
      ref={box}
      className="canvas"
      role="application"
      aria-label={label}
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
        if (files.length) onDropFiles(files, flow.screenToFlowPosition({ x: event.clientX, y: event.clientY }));
      }}
    >
      <ReactFlow<CardNode, WireEdgeType>
        nodes={cards}
        edges={edges}
        nodeTypes={nodeTypes}
        edgeTypes={edgeTypes}
        onNodesChange={onNodesChange}
        onEdgesChange={(changes) => {
          const chosen = new Set(useUi.getState().selected);
          for (const change of changes) {
            if (change.type === "select") chosen[change.selected ? "add" : "delete"](change.id);
          }
          useUi.getState().set({ selected: [...chosen] });
        }}
        onConnect={wire}
        isValidConnection={valid}
        onConnectStart={(_, { nodeId, handleId, handleType }) => {
          if (!nodeId || !handleId || !handleType) return;
          useUi.getState().set({ wiring: { node: nodeId, handle: handleId, type: handleType, carries: typeAt(nodeId, handleId, handleType) } });
        }}
        onConnectEnd={endWiring}
        onReconnect={(old, made) => {
          perform(disconnect(documentNow(), scopeNow(), [{ node: old.target, slot: old.targetHandle ?? "" }]));
          wire(made);
        }}
        onReconnectStart={(_, edge, handleType) => {
          // The end that stays is the one a new socket has to fit.
          const fixed: Wiring =
            handleType === "target"
              ? { node: edge.target, handle: edge.targetHandle ?? "", type: "target", carries: typeAt(edge.target, edge.targetHandle ?? "", "target") }
              : { node: edge.source, handle: edge.sourceHandle ?? "", type: "source", carries: typeAt(edge.source, edge.sourceHandle ?? "", "source") };
          useUi.getState().set({ wiring: fixed });
        }}
        onReconnectEnd={(_, edge, __, state) => {
          useUi.getState().set({ wiring: null });
          if (!state.isValid && !state.toHandle) {
            perform(disconnect(documentNow(), scopeNow(), [{ node: edge.target, slot: edge.targetHandle ?? "" }]));
          }
        }}
        onNodeDoubleClick={(event, node) => {
          if ((event.target as HTMLElement).closest(".nodrag, .rest, input, textarea, select")) return;
          const inner = node.data.json.type.startsWith("#") ? node.data.json.type : node.data.json.body;
          if (!inner) return;
          useUi.getState().set({ selected: [] });
          const path = node.data.json.body ? `${node.data.path}/0` : node.data.path;
          useDocument.getState().enter({ scope: inner.replace(/^#/, ""), path });
        }}
        onEdgeMouseEnter={(_, edge) => useUi.getState().set({ lit: pathOf(graphNow(), edge) })}
        onEdgeMouseLeave={() => useUi.getState().set({ lit: NOTHING })}
        onPaneClick={() => useUi.getState().set({ selected: [] })}
        onlyRenderVisibleElements
        deleteKeyCode={null}
        selectionKeyCode="Shift"
        multiSelectionKeyCode={["Control", "Meta"]}
        zoomOnDoubleClick={false}
        minZoom={0.1}
        maxZoom={2.5}
        snapToGrid
        snapGrid={[8, 8]}
        connectionRadius={26}
        nodeDragThreshold={1}
        colorMode={theme}
        proOptions={{ hideAttribution: true }}
      >
        <Background variant={BackgroundVariant.Dots} gap={24} size={1.2} />
        {minimap ? (
          <MiniMap
            pannable
            zoomable
            ariaLabel="Map of the graph"
            nodeColor={(node) => `hsl(${(node.data as CardData).hue} 30% 50%)`}
            nodeBorderRadius={10}
          />
        ) : null}
      </ReactFlow>
    </div>
  );
}

export const toggleMinimap = (): void => {
  const next = !useUi.getState().minimap;
  remember("weft.minimap", next ? "on" : "off");
  useUi.getState().set({ minimap: next });
};
