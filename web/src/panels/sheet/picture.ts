/** The sheet as one picture: the cells at their own size, with the labels of the axes. */

import { blobUrl } from "../../protocol/http";
import type { Job } from "../../protocol/types";
import { type Grid, pictureOf } from "../../run/items";
import { say } from "../../state/ui";
import { t } from "../../words";

const LONGEST = 8192;
const GAP = 6;

const load = (url: string): Promise<HTMLImageElement> =>
  new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error(t("a picture of the sheet cannot be read")));
    image.src = url;
  });

export interface Plan {
  width: number;
  height: number;
  cell: { width: number; height: number };
  /** Of labels. */
  left: number;
  top: number;
  title: number;
  font: number;
}

/** Where everything goes; cells shrink when the whole would be larger than browsers draw. */
export function planSheet(grid: Grid, cell: { width: number; height: number }, measure: (text: string) => number): Plan {
  const columns = Math.max(1, ...grid.pages.flatMap((page) => page.rows.map((row) => row.cells.length)));
  const rows = grid.pages.reduce((sum, page) => sum + page.rows.length, 0);
  const labelled = grid.columns.length > 0;
  const font = Math.max(12, Math.min(28, Math.round(cell.width / 14)));
  const names = grid.pages.flatMap((page) => page.rows.map((row) => row.title)).filter(Boolean);
  const left = labelled && names.length ? Math.min(cell.width, Math.max(font * 3, ...names.map(measure))) + 2 * GAP : GAP;
  const top = labelled ? font * 3 : GAP;
  const title = grid.pages.length > 1 ? font * 2 : 0;
  const full = (scale: number) => ({
    width: left + columns * (cell.width * scale + GAP) + GAP,
    height: grid.pages.length * (title + top) + rows * (cell.height * scale + GAP) + GAP,
  });
  const whole = full(1);
  const scale = Math.min(1, LONGEST / Math.max(whole.width, whole.height));
  const size = full(scale);
  return { width: Math.round(size.width), height: Math.round(size.height), cell: { width: cell.width * scale, height: cell.height * scale }, left, top, title, font };
}

export async function drawSheet(grid: Grid): Promise<Blob> {
  const cells = grid.pages.flatMap((page) => page.rows.flatMap((row) => row.cells));
  const pictures = new Map<number, HTMLImageElement>();
  for (const { index, item } of cells) {
    const picture = pictureOf(item);
    if (picture) pictures.set(index, await load(blobUrl(picture.blob)));
  }
  const first = pictures.values().next().value;
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  if (!first || !pen) throw new Error(t("no cell of the sheet has a picture yet"));
  const family = getComputedStyle(document.body).fontFamily;
  const measure = (text: string) => {
    pen.font = `16px ${family}`;
    return pen.measureText(text).width;
  };
  const plan = planSheet(grid, { width: first.naturalWidth, height: first.naturalHeight }, measure);
  canvas.width = plan.width;
  canvas.height = plan.height;
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, plan.width, plan.height);
  const write = (text: string, x: number, y: number, room: number, align: CanvasTextAlign, bold = false) => {
    pen.fillStyle = "#16181c";
    pen.font = `${bold ? "600 " : ""}${plan.font}px ${family}`;
    pen.textAlign = align;
    pen.textBaseline = "middle";
    let shown = text;
    while (shown.length > 1 && pen.measureText(shown).width > room) shown = `${shown.slice(0, -2)}…`;
    pen.fillText(shown, x, y);
  };
  let y = GAP;
  for (const page of grid.pages) {
    if (plan.title) write(page.title, plan.left, y + plan.title / 2, plan.width - plan.left, "left", true);
    y += plan.title;
    if (grid.columns.length) {
      write(grid.across, plan.left, y + plan.font * 0.8, plan.width - plan.left, "left", true);
      if (grid.down) write(grid.down, GAP, y + plan.font * 2.1, plan.left - 2 * GAP, "left", true);
      grid.columns.forEach((title, column) => {
        write(title, plan.left + column * (plan.cell.width + GAP) + plan.cell.width / 2, y + plan.font * 2.1, plan.cell.width, "center");
      });
      y += plan.top;
    }
    for (const row of page.rows) {
      if (row.title) write(row.title, plan.left - GAP, y + plan.cell.height / 2, plan.left - 2 * GAP, "right");
      row.cells.forEach(({ index }, column) => {
        const picture = pictures.get(index);
        const x = plan.left + column * (plan.cell.width + GAP);
        if (picture) pen.drawImage(picture, x, y, plan.cell.width, plan.cell.height);
        else {
          pen.fillStyle = "#e6e8eb";
          pen.fillRect(x, y, plan.cell.width, plan.cell.height);
        }
      });
      y += plan.cell.height + GAP;
    }
  }
  return await new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error(t("the sheet could not be written")))), "image/png"));
}

export async function saveSheet(job: Job, grid: Grid): Promise<void> {
  const blob = await drawSheet(grid);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${(job.title || "sheet").replace(/[\\/:*?"<>|]/g, "_")} sheet.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  say(t("saved as “{name}”", { name: link.download }));
}
