import { expect, test } from "vitest";
import { align, around, clear, distribute, holds } from "./arrange";
import { crosses } from "./cutting";
import { neighbour } from "./keyboard";
import { viewOf, viewWith } from "./view";

const BOXES = {
  a: { x: 0, y: 0, width: 100, height: 50 },
  b: { x: 300, y: 40, width: 50, height: 50 },
  c: { x: 130, y: 200, width: 100, height: 100 },
};

test("aligned boxes share the outermost edge or the middle of the whole", () => {
  expect(align(BOXES, "left")).toEqual({ a: { x: 0, y: 0 }, b: { x: 0, y: 40 }, c: { x: 0, y: 200 } });
  expect(align(BOXES, "right")).toEqual({ a: { x: 250, y: 0 }, b: { x: 300, y: 40 }, c: { x: 250, y: 200 } });
  expect(align(BOXES, "middle").b).toEqual({ x: 300, y: 125 });
});

test("evenly apart: one gap, the ends stay, and nothing overlaps when there is no room", () => {
  const spots = distribute(BOXES, "x");
  expect(spots).toEqual({ a: { x: 0, y: 0 }, c: { x: 150, y: 200 }, b: { x: 300, y: 40 } });
  const tight = distribute({ a: { ...BOXES.a }, b: { ...BOXES.b, x: 20 } }, "x");
  expect(tight.b?.x).toBe(124);
});

test("a frame holds what has its middle in it", () => {
  const frame = { x: 0, y: 0, width: 200, height: 200 };
  expect([holds(frame, BOXES.a), holds(frame, BOXES.b), holds(frame, BOXES.c)]).toEqual([true, false, false]);
  expect(around(Object.values(BOXES))).toEqual({ x: 0, y: 0, width: 350, height: 300 });
  expect(around([])).toBeNull();
});

test("a new box goes below what it would cover", () => {
  expect(clear({ x: 0, y: 0, width: 80, height: 40 }, Object.values(BOXES))).toEqual({ x: 0, y: 74 });
  expect(clear({ x: 600, y: 0, width: 80, height: 40 }, Object.values(BOXES))).toEqual({ x: 600, y: 0 });
});

test("an arrow goes to the nearest box that lies that way, and nowhere at the edge", () => {
  const others = (from: keyof typeof BOXES) => Object.entries(BOXES).filter(([name]) => name !== from);
  expect(neighbour(BOXES.a, others("a"), { x: 1, y: 0 })).toBe("b");
  expect(neighbour(BOXES.a, others("a"), { x: 0, y: 1 })).toBe("c");
  expect(neighbour(BOXES.c, others("c"), { x: 0, y: -1 })).toBe("b");
  expect(neighbour(BOXES.a, others("a"), { x: -1, y: 0 })).toBeNull();
});

test("a cut crosses what lies between its ends", () => {
  const [a, b] = [{ x: 0, y: 0 }, { x: 10, y: 10 }];
  expect(crosses(a, b, { x: 0, y: 10 }, { x: 10, y: 0 })).toBe(true);
  expect(crosses(a, b, { x: 20, y: 10 }, { x: 30, y: 0 })).toBe(false);
  expect(crosses(a, b, { x: 5, y: 0 }, { x: 15, y: 10 })).toBe(false);
});

test("a large graph begins readable, the whole of it is shown when that is asked for", () => {
  const size = { width: 1200, height: 700 };
  const area = { x: 0, y: 0, width: 12_000, height: 4000 };
  expect(viewOf(area, size, "first").zoom).toBe(0.8);
  const whole = viewOf(area, size, "whole");
  expect(area.width * whole.zoom).toBeLessThan(size.width);
  expect(viewOf({ x: 0, y: 0, width: 300, height: 200 }, size, "whole").zoom).toBe(1);
});

test("what is in view does not move it; what is not comes in by the shortest way", () => {
  const size = { width: 1000, height: 600 };
  const view = { x: 0, y: 0, zoom: 1 };
  expect(viewWith({ x: 100, y: 100, width: 232, height: 200 }, size, view)).toBeNull();
  expect(viewWith({ x: 900, y: 100, width: 232, height: 200 }, size, view)).toEqual({ x: -148, y: 0, zoom: 1 });
  expect(viewWith({ x: -50, y: 700, width: 100, height: 100 }, size, view)).toEqual({ x: 66, y: -216, zoom: 1 });
  expect(viewWith({ x: 0, y: 0, width: 100, height: 100 }, size, { x: 500, y: 300, zoom: 0.1 })?.zoom).toBe(0.5);
});
