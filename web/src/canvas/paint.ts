/** The graph as plain boxes and lines on a canvas: for the map, and for a view from far away. */

import type { AnyNode } from "./deck";
import type { WireEdgeType } from "./WireEdge";

export interface View {
  x: number;
  y: number;
  zoom: number;
}

const hueOf = (node: AnyNode): number =>
  node.type === "frame" ? (node.data.frame.hue ?? 215) : node.type === "note" ? (node.data.note.hue ?? 48) : node.data.hue;

/** A canvas's context in CSS pixels, cleared; null where there is none. */
export function ground(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}

export function paint(
  context: CanvasRenderingContext2D,
  nodes: AnyNode[],
  wires: WireEdgeType[],
  view: View,
  size: { width: number; height: number },
  accent: string,
): void {
  const places = new Map<string, { left: number; top: number; right: number; bottom: number }>();
  for (const node of nodes) {
    const left = node.position.x * view.zoom + view.x;
    const top = node.position.y * view.zoom + view.y;
    places.set(node.id, { left, top, right: left + (node.width ?? 0) * view.zoom, bottom: top + (node.height ?? 0) * view.zoom });
  }
  context.lineWidth = 1;
  context.globalAlpha = 0.5;
  for (const wire of wires) {
    const from = places.get(wire.source);
    const to = places.get(wire.target);
    if (!from || !to || wire.data?.stub) continue;
    const [y, end] = [(from.top + from.bottom) / 2, (to.top + to.bottom) / 2];
    if (Math.max(from.right, to.left) < 0 || Math.min(from.right, to.left) > size.width || Math.max(y, end) < 0 || Math.min(y, end) > size.height) continue;
    context.strokeStyle = wire.data?.colour ?? accent;
    context.beginPath();
    context.moveTo(from.right, y);
    context.lineTo(to.left, end);
    context.stroke();
  }
  context.globalAlpha = 1;
  for (const node of nodes) {
    const box = places.get(node.id);
    if (!box || box.right < 0 || box.left > size.width || box.bottom < 0 || box.top > size.height) continue;
    const [width, height] = [Math.max(1.5, box.right - box.left), Math.max(1.5, box.bottom - box.top)];
    context.fillStyle = `hsl(${hueOf(node)} 32% 52% / ${node.type === "frame" ? 0.16 : 1})`;
    context.fillRect(box.left, box.top, width, height);
    if (node.selected) {
      context.strokeStyle = accent;
      context.lineWidth = 2;
      context.strokeRect(box.left, box.top, width, height);
    }
  }
}

export const accentNow = (): string => getComputedStyle(document.documentElement).getPropertyValue("--accent").trim() || "#8aadff";
