import {
  Background,
  BackgroundVariant,
  type Connection,
  type FinalConnectionState,
  MiniMap,
  type NodeChange,
  ReactFlow,
  useReactFlow,
} from "@xyflow/react";
import { type DragEvent, type MouseEvent, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { connect, disconnect, move, viewKey, wouldCircle } from "../document/operations";
import { colourOf, fit, socketType, type Specs, specOf, typeFrom } from "../document/specs";
import { parseEnd, slots, wiresInto } from "../document/wires";
import type { GraphJson, NodeJson, NodeSpec, Picture, Spot, TypeJson, WorkflowJson } from "../protocol/types";
import { useCatalogue } from "../state/catalogue";
import { setCanvas } from "../state/canvas";
import { documentNow, documentOf, graphNow, graphOf, perform, prefixOf, scopeNow, scopeOf, tabOf, useDocument } from "../state/document";
import { type PreviewPicture, useRun } from "../state/run";
import { remember, useUi, type Wiring } from "../state/ui";
import { freeSlot, type PictureSize, shapeOf } from "./geometry";
import { spotFor } from "./layout";
import { type CardData, type CardNode, NodeCard } from "./NodeCard";
import { WireEdge, type WireEdgeType } from "./WireEdge";

const nodeTypes = { card: NodeCard };
const edgeTypes = { wire: WireEdge };
const NOTHING: ReadonlySet<string> = new Set();
export const CHAPTERS = ["load", "text", "denoise", "schedule", "guidance", "noise", "latent", "vae", "image", "mask", "control", "lora", "values", "flow"];
export const hueOf = (category: string): number => {
  const at = CHAPTERS.indexOf(category);
  return at >= 0 ? (at * 360) / CHAPTERS.length + 215 : 250;
};

/** Node ids of wires along the path of one: all that comes into it and all that comes of it. */
function pathOf(graph: GraphJson, edge: WireEdgeType): Set<string> {
  const into = new Map(Object.entries(graph.nodes).map(([name, node]) => [name, wiresInto(name, node)]));
  const outOf = new Map<string, { node: string; slot: string }[]>();
  for (const wires of into.values()) {
    for (const wire of wires) outOf.set(wire.from.node, [...(outOf.get(wire.from.node) ?? []), wire]);
  }
  const found = new Set([edge.id]);
  const seen = new Set<string>();
  const walk = (start: string, next: (name: string) => { id: string; to: string }[]) => {
    const pending = [start];
    while (pending.length) {
      const name = pending.pop() as string;
      if (seen.has(name)) continue;
      seen.add(name);
      for (const { id, to } of next(name)) {
        found.add(id);
        pending.push(to);
      }
    }
  };
  walk(edge.source, (name) => (into.get(name) ?? []).map((w) => ({ id: `${name}|${w.slot}`, to: w.from.node })));
  walk(edge.target, (name) => (outOf.get(name) ?? []).map((w) => ({ id: `${w.node}|${w.slot}`, to: w.node })));
  return found;
}

/** A node whose pack is not here keeps its sockets: those that are wired. */
function standInSpec(name: string, node: NodeJson, graph: GraphJson): NodeSpec {
  const outputs = new Set<string>();
  for (const [other, json] of Object.entries(graph.nodes)) {
    for (const wire of wiresInto(other, json)) if (wire.from.node === name) outputs.add(wire.from.output || "out");
  }
  return {
    id: node.type,
    title: node.type,
    help: "",
    inputs: Object.entries(node.inputs).map(([input, source]) => ({
      name: input,
      type: "any",
      typed: false,
      gather: Array.isArray(source) ? "list" : undefined,
    })),
    outputs: [...outputs].map((output) => ({ name: output, type: "any" })),
  };
}

function sizeOf(pictures: Picture[] | undefined, preview: PreviewPicture | undefined): PictureSize | null {
  const first = pictures?.[0];
  if (preview && !first) return { count: 1, width: preview.width, height: preview.height };
  return first ? { count: Math.min(pictures.length, 16), width: first.width, height: first.height } : null;
}

interface Ground {
  document: WorkflowJson;
  graph: GraphJson;
  scope: string;
  prefix: string;
  pictures: Record<string, Picture[]>;
  previews: Record<string, PreviewPicture>;
  selected: string[];
  dragged: Record<string, Spot>;
  specs: Specs;
}

/** React Flow's nodes from the document: the same object as before for each node of which nothing changed. */
class Deck {
  private held = new Map<string, { key: unknown[]; card: CardNode }>();

  deal(ground: Ground): CardNode[] {
    const { document, graph, scope, prefix, pictures, previews, dragged, specs } = ground;
    const chosen = new Set(ground.selected);
    const exposed = new Map<string, Set<string>>();
    for (const parameter of Object.values(graph.parameters ?? {})) {
      for (const to of parameter.to) {
        const end = parseEnd(to);
        exposed.set(end.node, (exposed.get(end.node) ?? new Set()).add(end.output));
      }
    }
    const made = new Map<string, { key: unknown[]; card: CardNode }>();
    for (const [name, json] of Object.entries(graph.nodes)) {
      const path = prefix + name;
      const nested = json.type.startsWith("#") || json.type === "map" || json.type === "fold";
      const spot = dragged[name] ?? document.view?.nodes?.[viewKey(scope, name)] ?? spotFor(document, scope, name);
      const collapsed = !!document.view?.collapsed?.[viewKey(scope, name)];
      const size = sizeOf(pictures[path], previews[path]);
      const shown = exposed.get(name) ?? NOTHING;
      const known = nested || specs.byId.has(json.type);
      const key = [json, spot.x, spot.y, collapsed, size?.count, size?.width, size?.height, specs, [...shown].join(), nested && document.graphs, known || graph];
      const isChosen = chosen.has(name);
      const held = this.held.get(path);
      if (held?.key.every((part, i) => part === key[i])) {
        const card = held.card.selected === isChosen ? held.card : { ...held.card, selected: isChosen };
        made.set(path, { key, card });
        continue;
      }
      const spec = specOf(json, document, specs);
      const shape = shapeOf(json, spec ?? standInSpec(name, json, graph), { collapsed, pictures: size });
      const hue = hueOf(spec?.category ?? json.type.split(".")[0] ?? "");
      const data: CardData = { name, path, json, spec, shape, collapsed, hue, exposed: shown };
      const card = {
        id: name,
        type: "card",
        position: spot,
        data,
        selected: isChosen,
        width: shape.width,
        height: shape.height,
        handles: shape.handles,
        ariaLabel: `${json.title ?? spec?.title ?? json.type}, ${name}`,
      } as CardNode;
      made.set(path, { key, card });
    }
    this.held = made;
    return [...made.values()].map((entry) => entry.card);
  }
}

function useCards(specs: Specs): { cards: CardNode[]; onNodesChange: (changes: NodeChange<CardNode>[]) => void } {
  const document = useDocument(documentOf);
  const graph = useDocument(graphOf);
  const scope = useDocument(scopeOf);
  const prefix = useDocument(prefixOf);
  const pictures = useRun((state) => state.run.pictures);
  const previews = useRun((state) => state.previews);
  const selected = useUi((state) => state.selected);
  const [dragged, setDragged] = useState<Record<string, Spot>>({});
  const [deck] = useState(() => new Deck());
  const cards = useMemo(
    () => deck.deal({ document, graph, scope, prefix, pictures, previews, selected, dragged, specs }),
    [deck, document, graph, scope, prefix, pictures, previews, selected, dragged, specs],
  );

  const onNodesChange = useCallback((changes: NodeChange<CardNode>[]) => {
    let moved: Record<string, Spot> | null = null;
    let done: Record<string, Spot> | null = null;
    const chosen = new Set(useUi.getState().selected);
    let picked = false;
    for (const change of changes) {
      if (change.type === "position" && change.position) {
        if (change.dragging) (moved ??= {})[change.id] = change.position;
        else (done ??= {})[change.id] = change.position;
      } else if (change.type === "select") {
        picked = true;
        if (change.selected) chosen.add(change.id);
        else chosen.delete(change.id);
      }
    }
    if (moved) {
      const fresh = moved;
      setDragged((held) => ({ ...held, ...fresh }));
    }
    if (done) {
      const scopeHeld = scopeNow();
      const view = documentNow().view?.nodes ?? {};
      const real = Object.entries(done).filter(([name, spot]) => {
        const held = view[viewKey(scopeHeld, name)];
        return held?.x !== Math.round(spot.x) || held.y !== Math.round(spot.y);
      });
      if (real.length) perform(move(scopeHeld, Object.fromEntries(real)));
      setDragged({});
    }
    if (picked) useUi.getState().set({ selected: [...chosen] });
  }, []);

  return { cards, onNodesChange };
}

function useWires(specs: Specs): WireEdgeType[] {
  const document = useDocument(documentOf);
  const graph = useDocument(graphOf);
  const [selected] = useUiWires();
  return useMemo(() => {
    const wires: WireEdgeType[] = [];
    for (const [name, node] of Object.entries(graph.nodes)) {
      const spec = specOf(node, document, specs);
      for (const [inputName, source] of Object.entries(node.inputs)) {
        const input = spec?.inputs.find((item) => item.name === inputName);
        for (const wire of wiresInto(name, { ...node, inputs: { [inputName]: source } })) {
          const feeder = graph.nodes[wire.from.node];
          if (!feeder) continue;
          const outputs = specOf(feeder, document, specs)?.outputs;
          const output = wire.from.output || outputs?.[0]?.name || "out";
          const type: TypeJson = typeFrom(`${wire.from.node}.${output}`, graph, document, specs);
          // A list wired whole into a growing input ends in its first slot.
          const slot = input?.gather && !wire.slot.includes("/") ? (slots(inputName, source, input.gather)[0]?.[0] ?? wire.slot) : wire.slot;
          const id = `${name}|${slot}`;
          wires.push({
            id,
            type: "wire",
            source: wire.from.node,
            sourceHandle: output,
            target: name,
            targetHandle: slot,
            selected: selected.has(id),
            data: { colour: colourOf(type, specs), unsure: !!input && fit(type, socketType(input), specs).fit === "no" },
          });
        }
      }
    }
    return wires;
  }, [document, graph, specs, selected]);
}

/** Selected wires; kept beside the selected nodes, with `|` in their names. */
function useUiWires(): [ReadonlySet<string>] {
  const selected = useUi((state) => state.selected);
  return [useMemo(() => new Set(selected.filter((id) => id.includes("|"))), [selected])];
}

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

  const typeAt = useCallback((node: string, handle: string, side: "source" | "target"): TypeJson => {
    const { specs: held } = useCatalogue.getState();
    const graph = graphNow();
    if (side === "source") return typeFrom(`${node}.${handle}`, graph, documentNow(), held);
    const json = graph.nodes[node];
    const spec = json && specOf(json, documentNow(), held);
    const input = spec?.inputs.find((item) => item.name === handle.split("/")[0]);
    return input ? socketType(input) : "any";
  }, []);

  const valid = useCallback(
    (wire: Connection | WireEdgeType): boolean => {
      if (!wire.source || !wire.target || !wire.sourceHandle || !wire.targetHandle) return false;
      if (wouldCircle(documentNow(), scopeNow(), wire.source, wire.target)) return false;
      const { specs: held } = useCatalogue.getState();
      return fit(typeAt(wire.source, wire.sourceHandle, "source"), typeAt(wire.target, wire.targetHandle, "target"), held).fit !== "no";
    },
    [typeAt],
  );

  const wire = (made: Connection) => {
    if (!made.sourceHandle || !made.targetHandle) return;
    perform(connect(documentNow(), scopeNow(), { node: made.source, output: made.sourceHandle }, { node: made.target, slot: made.targetHandle }));
  };

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

/** A wire dropped on a node's body goes to its first socket that fits. */
function joinNode(held: Wiring, node: string): void {
  const { specs } = useCatalogue.getState();
  const document = documentNow();
  const graph = graphNow();
  const json = graph.nodes[node];
  const spec = json && specOf(json, document, specs);
  if (!spec || node === held.node) return;
  if (held.type === "source") {
    if (wouldCircle(document, scopeNow(), held.node, node)) return;
    const fits = spec.inputs.filter((input) => input.wired !== false && fit(held.carries, socketType(input), specs).fit === "fits");
    const input = fits.find((item) => json.inputs[item.name] === undefined) ?? fits[0];
    if (!input) return;
    const slot = input.gather ? freeSlot(input, json) : input.name;
    perform(connect(document, scopeNow(), { node: held.node, output: held.handle }, { node, slot }));
  } else {
    if (wouldCircle(document, scopeNow(), node, held.node)) return;
    const output = spec.outputs.find((out) => fit(out.type, held.carries, specs).fit === "fits");
    if (output) perform(connect(document, scopeNow(), { node, output: output.name }, { node: held.node, slot: held.handle }));
  }
}

export const toggleMinimap = (): void => {
  const next = !useUi.getState().minimap;
  remember("weft.minimap", next ? "on" : "off");
  useUi.getState().set({ minimap: next });
};

