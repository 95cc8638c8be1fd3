import { expect, test } from "vitest";
import type { Box } from "./arrange";
import { type Ends, hidden, routes } from "./route";

const box = (x: number, y: number, width = 232, height = 160): Box => ({ x, y, width, height });
const wire = (from: [number, number], to: [number, number], id = "b|in", source = "a", target = "b"): Ends => ({
  id,
  source,
  target,
  output: `${source}.out`,
  from: { x: from[0], y: from[1] },
  to: { x: to[0], y: to[1] },
});

/** Points along a path of lines and curves. */
function points(path: string): { x: number; y: number }[] {
  const found: { x: number; y: number }[] = [];
  for (const [, kind, body] of path.matchAll(/([MLC])([^MLC]+)/g)) {
    const spots = (body as string).trim().split(" ").map((pair) => pair.split(",").map(Number) as [number, number]);
    const last = found.at(-1);
    if (!last || kind === "M") found.push({ x: (spots[0] as [number, number])[0], y: (spots[0] as [number, number])[1] });
    else {
      const [a, b, c, d] = kind === "L" ? [[last.x, last.y], [last.x, last.y], spots[0], spots[0]] : [[last.x, last.y], ...spots];
      for (let i = 1; i <= 40; i++) {
        const [t, u] = [i / 40, 1 - i / 40];
        const at = (k: 0 | 1) => u ** 3 * (a as number[])[k]! + 3 * u * u * t * (b as number[])[k]! + 3 * u * t * t * (c as number[])[k]! + t ** 3 * (d as number[])[k]!;
        found.push(kind === "L" ? { x: last.x + ((spots[0] as [number, number])[0] - last.x) * t, y: last.y + ((spots[0] as [number, number])[1] - last.y) * t } : { x: at(0), y: at(1) });
      }
    }
  }
  return found;
}

const within = (spot: { x: number; y: number }, { x, y, width, height }: Box) => spot.x > x && spot.x < x + width && spot.y > y && spot.y < y + height;

test("a wire that meets no card is a plain curve", () => {
  const boxes = new Map([["a", box(0, 0)], ["b", box(700, 0)], ["c", box(300, 400)]]);
  expect(hidden(wire([232, 50], [700, 50]), boxes)).toBe(false);
  expect(routes([wire([232, 50], [700, 50])], boxes).size).toBe(0);
});

test("a wire that would run behind a card goes round it, from end to end", () => {
  const boxes = new Map([["a", box(0, 0)], ["b", box(700, 0)], ["c", box(330, 20)]]);
  const way = routes([wire([232, 50], [700, 50])], boxes).get("b|in");
  const spots = points(way?.path ?? "");
  expect(spots[0]).toEqual({ x: 232, y: 50 });
  expect(spots.at(-1)).toEqual({ x: 700, y: 50 });
  expect(spots.filter((spot) => within(spot, boxes.get("c") as Box))).toEqual([]);
});
