/** Nodes in line and evenly apart. */

import type { Spot } from "../protocol/types";

export interface Box extends Spot {
  width: number;
  height: number;
}

export type Edge = "left" | "centre" | "right" | "top" | "middle" | "bottom";

const alongX = (edge: Edge): boolean => edge === "left" || edge === "centre" || edge === "right";
const share = (edge: Edge): number => (edge === "left" || edge === "top" ? 0 : edge === "right" || edge === "bottom" ? 1 : 0.5);

/** All boxes get their edge where the outermost of them has it; the middle is that of the whole. */
export function align(boxes: Record<string, Box>, edge: Edge): Record<string, Spot> {
  const all = Object.values(boxes);
  const [start, size] = alongX(edge) ? (["x", "width"] as const) : (["y", "height"] as const);
  const low = Math.min(...all.map((box) => box[start]));
  const high = Math.max(...all.map((box) => box[start] + box[size]));
  const part = share(edge);
  return Object.fromEntries(
    Object.entries(boxes).map(([name, box]) => {
      const at = low + (high - low - box[size]) * part;
      return [name, { x: box.x, y: box.y, [start]: Math.round(at) }];
    }),
  );
}

/** The gaps between neighbours become one: the first and the last stay, unless they would overlap. */
export function distribute(boxes: Record<string, Box>, axis: "x" | "y", least = 24): Record<string, Spot> {
  const size = axis === "x" ? "width" : "height";
  const row = Object.entries(boxes).sort(([, a], [, b]) => a[axis] - b[axis]);
  const first = row[0]?.[1];
  const last = row[row.length - 1]?.[1];
  if (!first || !last || row.length < 2) return {};
  const room = last[axis] + last[size] - first[axis] - row.reduce((sum, [, box]) => sum + box[size], 0);
  const gap = Math.max(least, room / (row.length - 1));
  let at = first[axis];
  return Object.fromEntries(
    row.map(([name, box]) => {
      const spot = { x: box.x, y: box.y, [axis]: Math.round(at) };
      at += box[size] + gap;
      return [name, spot];
    }),
  );
}

/** The box around boxes. */
export function around(boxes: Box[]): Box | null {
  if (!boxes.length) return null;
  const x = Math.min(...boxes.map((box) => box.x));
  const y = Math.min(...boxes.map((box) => box.y));
  return {
    x,
    y,
    width: Math.max(...boxes.map((box) => box.x + box.width)) - x,
    height: Math.max(...boxes.map((box) => box.y + box.height)) - y,
  };
}

/** Does the box hold the middle of the other? That is what it means to be in a frame. */
export function holds(frame: Box, other: Box): boolean {
  const x = other.x + other.width / 2;
  const y = other.y + other.height / 2;
  return x >= frame.x && x <= frame.x + frame.width && y >= frame.y && y <= frame.y + frame.height;
}

/** The nearest place below where a box of this size covers none of the others. */
export function clear(box: Box, others: Box[], gap = 24): Spot {
  let { y } = box;
  const covers = (other: Box) =>
    box.x < other.x + other.width + gap && other.x < box.x + box.width + gap && y < other.y + other.height + gap && other.y < y + box.height + gap;
  for (let found = others.find(covers), turns = 0; found && turns < 1000; found = others.find(covers), turns++) y = found.y + found.height + gap;
  return { x: box.x, y };
}
