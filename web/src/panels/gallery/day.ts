/** Where the pictures of the gallery stand: rows under the day they were made on. Pure figures, so that only what is seen is on the page. */

import type { GalleryPicture } from "../../protocol/types";

export interface DayRow {
  kind: "day";
  y: number;
  height: number;
  day: string;
  count: number;
}

export interface PictureRow {
  kind: "pictures";
  y: number;
  height: number;
  /** The first picture's place in the list, and how many stand here. */
  from: number;
  count: number;
}

export type Row = DayRow | PictureRow;

export const HEAD = 36;
export const GAP = 6;

/** The day as it is told apart: `2026-11-30`, by the clock of who looks. */
export function dayOf(at: number): string {
  const date = new Date(at * 1000);
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`;
}

/** How many pictures of at least `size` fit across. */
export const across = (width: number, size: number): number => Math.max(1, Math.floor((width + GAP) / (size + GAP)));

/** Rows of `columns` cells of `cell` pixels, each day begun anew; and the height of them all. */
export function rowsOf(pictures: Pick<GalleryPicture, "at">[], columns: number, cell: number): { rows: Row[]; height: number } {
  const rows: Row[] = [];
  let y = 0;
  let from = 0;
  while (from < pictures.length) {
    const day = dayOf(pictures[from]?.at ?? 0);
    let end = from;
    while (end < pictures.length && dayOf(pictures[end]?.at ?? 0) === day) end++;
    rows.push({ kind: "day", y, height: HEAD, day, count: end - from });
    y += HEAD;
    for (; from < end; from += columns) {
      const count = Math.min(columns, end - from);
      rows.push({ kind: "pictures", y, height: cell, from, count });
      y += cell + GAP;
    }
    from = end;
  }
  return { rows, height: y };
}

/** The rows that are seen, and one screen before and after. */
export function seen(rows: Row[], top: number, height: number): Row[] {
  return rows.filter((row) => row.y + row.height > top - height && row.y < top + 2 * height);
}

/** The picture above or below another: the same column of the next row that has pictures. */
export function beside(rows: Row[], at: number, down: 1 | -1): number {
  const lines = rows.filter((row) => row.kind === "pictures");
  const line = lines.findIndex((row) => at >= row.from && at < row.from + row.count);
  const here = lines[line];
  const next = lines[line + down];
  if (!here || !next) return at;
  return next.from + Math.min(at - here.from, next.count - 1);
}
