import { expect, test } from "vitest";
import { alikeInMask, alikeInPicture, covered, cut, dab, fillAll, flood, fromPixels, invert, line, type Mask, newMask, Past, polygon, toPixels, whole } from "./mask";

const at = (mask: Mask, x: number, y: number) => mask.data[y * mask.width + x];
const hard = { radius: 8, hardness: 1, erase: false };

test("a hard brush fills its disc and nothing else, a soft one fades, and dabs do not pile up", () => {
  const mask = newMask(64, 64);
  const box = dab(mask, { x: 32, y: 32 }, hard);
  expect(at(mask, 32, 32)).toBe(255);
  expect(at(mask, 25, 32)).toBe(255);
  expect(at(mask, 22, 32)).toBe(0);
  expect(Math.abs(covered(mask) * 64 * 64 - Math.PI * 64)).toBeLessThan(6);
  expect(box.left).toBeLessThanOrEqual(24);
  const soft = newMask(64, 64);
  for (let i = 0; i < 5; i++) dab(soft, { x: 32, y: 32 }, { ...hard, hardness: 0 });
  const levels = [32, 34, 36, 38].map((x) => at(soft, x, 32) as number);
  expect([...levels].sort((a, b) => b - a)).toEqual(levels);
  expect(levels[2]).toBeGreaterThan(40);
  expect(levels[2]).toBeLessThan(220);
});

test("the eraser takes away what the brush painted, to the last level", () => {
  const mask = newMask(40, 40);
  line(mask, { x: 5, y: 20, radius: 4 }, { x: 35, y: 20, radius: 4 }, { ...hard, radius: 4 });
  expect(at(mask, 20, 20)).toBe(255);
  line(mask, { x: 0, y: 20, radius: 9 }, { x: 40, y: 20, radius: 9 }, { radius: 9, hardness: 1, erase: true });
  expect(covered(mask)).toBe(0);
});

test("a fast stroke has no gaps, and reaches over the edge without harm", () => {
  const mask = newMask(100, 20);
  line(mask, { x: -20, y: 10, radius: 3 }, { x: 120, y: 10, radius: 3 }, { ...hard, radius: 3 });
  for (let x = 0; x < 100; x++) expect(at(mask, x, 10)).toBe(255);
});

test("undo and redo bring every state back exactly, and a dropped stroke leaves nothing", () => {
  const mask = newMask(50, 50);
  const past = new Past(mask);
  const states = [mask.data.slice()];
  const steps = [
    () => dab(mask, { x: 10, y: 10 }, { ...hard, hardness: 0.3 }),
    () => (invert(mask), whole(mask)),
    () => polygon(mask, [{ x: 5, y: 5 }, { x: 40, y: 8 }, { x: 20, y: 44 }], true),
    () => flood(mask, { x: 20, y: 15 }, alikeInMask(mask), false),
    () => (fillAll(mask, 0), whole(mask)),
  ];
  for (const step of steps) {
    past.begin();
    past.end(step());
    states.push(mask.data.slice());
  }
  for (let i = states.length - 2; i >= 0; i--) {
    expect(past.undo()).not.toBeNull();
    expect(mask.data).toEqual(states[i]);
  }
  expect(past.canUndo).toBe(false);
  for (let i = 1; i < states.length; i++) {
    past.redo();
    expect(mask.data).toEqual(states[i]);
  }
  past.begin();
  dab(mask, { x: 40, y: 40 }, hard);
  past.drop();
  expect(mask.data).toEqual(states.at(-1));
  past.begin();
  past.end(whole(mask)); // nothing changed: no step
  past.undo();
  expect(mask.data).toEqual(states.at(-2));
});

test("an outline fills what it goes around, a flood stops at paint or at another colour", () => {
  const mask = newMask(30, 30);
  polygon(mask, [{ x: 5, y: 5 }, { x: 25, y: 5 }, { x: 25, y: 25 }, { x: 5, y: 25 }], false);
  expect(covered(mask)).toBeCloseTo(400 / 900, 5);
  const ring = newMask(30, 30);
  for (const [x, y, a, b] of [[5, 5, 25, 5], [25, 5, 25, 25], [25, 25, 5, 25], [5, 25, 5, 5]] as const) {
    line(ring, { x, y, radius: 1.5 }, { x: a, y: b, radius: 1.5 }, { ...hard, radius: 1.5 });
  }
  flood(ring, { x: 15, y: 15 }, alikeInMask(ring), false);
  expect(at(ring, 15, 15)).toBe(255);
  expect(at(ring, 1, 1)).toBe(0);
  const rgba = new Uint8ClampedArray(30 * 30 * 4).map((_, i) => (Math.floor(i / 4) % 30 < 10 ? 200 : 20));
  const wand = newMask(30, 30);
  flood(wand, { x: 2, y: 2 }, alikeInPicture(rgba, 30), false);
  expect(covered(wand)).toBeCloseTo(1 / 3, 5);
});

test("a mask becomes a picture and comes back from it, level by level", () => {
  const mask = newMask(16, 16);
  mask.data.forEach((_, i) => (mask.data[i] = i));
  const back = newMask(16, 16);
  fromPixels(back, toPixels(mask));
  expect(back.data).toEqual(mask.data);
  const shown = new Uint8ClampedArray(16 * 16 * 4).map((_, i) => (i % 4 === 3 ? 255 : Math.floor(i / 4)));
  fromPixels(back, shown);
  expect(back.data).toEqual(mask.data);
  expect(cut(mask, { left: 1, top: 1, right: 3, bottom: 2 })).toEqual(new Uint8Array([17, 18]));
});
