/** Which part of the graph is on screen. */

import type { Box } from "./arrange";
import type { View } from "./paint";

export interface Size {
  width: number;
  height: number;
}

/** The view that shows the area. At the first sight of a large graph it begins readable, at its left. */
export function viewOf(area: Box, size: Size, sight: "whole" | "first" | "near"): View {
  const { width, height } = size;
  const margin = width < 700 ? 24 : 56;
  const scale = Math.min((width - 2 * margin) / area.width, (height - 2 * margin - 24) / area.height, 1);
  const readable = width < 700 ? 0.55 : 0.8;
  const zoom = sight === "whole" ? Math.max(scale, 0.02) : sight === "near" ? Math.max(scale, 0.4) : scale >= 0.42 ? scale : readable;
  const within = (start: number, length: number, room: number) => (length * zoom <= room - margin ? (room - length * zoom) / 2 - start * zoom : margin - start * zoom);
  return { zoom, x: within(area.x, area.width, width), y: within(area.y, area.height, height) };
}

/** The view in which the box is seen, with as little movement as that takes; null when it is seen already. */
export function viewWith(box: Box, size: Size, view: View): View | null {
  const zoom = Math.max(view.zoom, 0.5);
  const edge = 16;
  const along = (start: number, length: number, room: number, shift: number) => {
    const from = start * zoom + shift;
    if (from < edge) return shift + edge - from;
    const over = from + Math.min(length * zoom, room - 2 * edge) - (room - edge);
    return over > 0 ? shift - over : shift;
  };
  // Another zoom keeps the middle of the screen where it is.
  const held = { x: size.width / 2 - ((size.width / 2 - view.x) / view.zoom) * zoom, y: size.height / 2 - ((size.height / 2 - view.y) / view.zoom) * zoom };
  const made = { zoom, x: along(box.x, box.width, size.width, held.x), y: along(box.y, box.height, size.height, held.y) };
  return made.x === view.x && made.y === view.y && made.zoom === view.zoom ? null : made;
}
