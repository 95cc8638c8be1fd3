import { expect, test } from "vitest";
import { across, beside, dayOf, GAP, HEAD, rowsOf, seen } from "./day";

const at = (day: number, hour = 12) => ({ at: new Date(2026, 10, day, hour).getTime() / 1000 });

test("pictures stand in rows under their day, and a day begins a row of its own", () => {
  const pictures = [at(30), at(30, 9), at(30, 1), at(29), at(2)];
  const { rows, height } = rowsOf(pictures, 2, 100);
  expect(rows.map((row) => (row.kind === "day" ? `${row.day} ${row.count}` : `${row.from}+${row.count}`))).toEqual([
    "2026-11-30 3",
    "0+2",
    "2+1",
    "2026-11-29 1",
    "3+1",
    "2026-11-02 1",
    "4+1",
  ]);
  expect(height).toBe(3 * HEAD + 4 * (100 + GAP));
  expect(dayOf(pictures[0]?.at ?? 0)).toBe("2026-11-30");
});

test("of two thousand pictures only those about the screen are on the page", () => {
  const pictures = Array.from({ length: 2000 }, (_, i) => at(30 - Math.floor(i / 100)));
  const columns = across(1600, 180);
  const { rows } = rowsOf(pictures, columns, 180);
  const shown = seen(rows, 20_000, 900).reduce((sum, row) => sum + (row.kind === "pictures" ? row.count : 0), 0);
  expect(shown).toBeGreaterThan(columns * 5);
  expect(shown).toBeLessThan(columns * 18);
});

test("up and down keep the column, and end where a row is short", () => {
  const { rows } = rowsOf([at(3), at(3), at(3), at(2), at(1), at(1)], 3, 50);
  expect(beside(rows, 2, 1)).toBe(3);
  expect(beside(rows, 3, 1)).toBe(4);
  expect(beside(rows, 5, 1)).toBe(5);
  expect(beside(rows, 5, -1)).toBe(3);
  expect(beside(rows, 0, -1)).toBe(0);
});
