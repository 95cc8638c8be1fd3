/** Wires that would run behind a card go round it instead: along lanes between the cards, with few bends.
 *
 * A shortest way over a grid of the cards' edges (A*, a bend costs as much as a detour of BEND). Only wires whose plain
 * curve meets a card are routed; all others stay curves. */

import type { Spot } from "../protocol/types";
import type { Box } from "./arrange";

export interface Ends {
  id: string;
  /** Wires of one output may share a lane. */
  source: string;
  target: string;
  output: string;
  from: Spot;
  to: Spot;
}

/** Corners between the ends of a wire; it leaves and arrives level. */
export interface Route {
  from: Spot;
  to: Spot;
  path: string;
}

const MARGIN = 10;
const BEND = 48;
const SHARED = 70;
const APART = 6;
/** More cards than this are not looked at for one wire; more wires than this are not led round anything. */
const CARDS = 40;
const WIRES = 120;

type Boxes = Map<string, Box>;

const spans = (a: number, b: number, low: number, high: number): boolean => Math.min(a, b) < high && Math.max(a, b) > low;
const meets = (a: Spot, b: Spot, box: Box, margin: number): boolean =>
  spans(a.x, b.x, box.x - margin, box.x + box.width + margin) && spans(a.y, b.y, box.y - margin, box.y + box.height + margin);

/** The control points' distance of the plain curve, as the canvas draws it. */
export const reach = (from: Spot, to: Spot): number => (to.x >= from.x ? 0.5 * (to.x - from.x) : 0.32 * 25 * Math.sqrt(from.x - to.x));

/** Does the plain curve run behind a card? Its own two count when it goes back to the left. */
export function hidden(wire: Ends, boxes: Boxes): boolean {
  const { from, to } = wire;
  const by = reach(from, to);
  const back = to.x < from.x;
  const near = [...boxes].filter(([name, box]) => (back || (name !== wire.source && name !== wire.target)) && meets({ x: Math.min(from.x, to.x - by), y: from.y }, { x: Math.max(to.x, from.x + by), y: to.y }, box, 4));
  if (!near.length) return false;
  for (let i = 1; i < 32; i++) {
    const t = i / 32;
    const u = 1 - t;
    const x = u * u * u * from.x + 3 * u * u * t * (from.x + by) + 3 * u * t * t * (to.x - by) + t * t * t * to.x;
    const y = u * u * (u + 3 * t) * from.y + t * t * (t + 3 * u) * to.y;
    if (near.some(([, box]) => x > box.x - 2 && x < box.x + box.width + 2 && y > box.y - 2 && y < box.y + box.height + 2)) return true;
  }
  return false;
}

interface Lane {
  output: string;
  flat: boolean;
  at: number;
  low: number;
  high: number;
}

/** The ways of all wires that need one, by id. */
export function routes(wires: Ends[], boxes: Boxes): Map<string, Route> {
  const found = new Map<string, Route>();
  const lanes: Lane[] = [];
  const length = (wire: Ends) => Math.abs(wire.to.x - wire.from.x) + Math.abs(wire.to.y - wire.from.y);
  const blocked = wires.filter((wire) => hidden(wire, boxes)).sort((a, b) => length(a) - length(b));
  for (const wire of blocked.slice(0, WIRES)) {
    const corners = way(wire, boxes, lanes);
    if (!corners) continue;
    for (let i = 1; i < corners.length; i++) {
      const [a, b] = [corners[i - 1] as Spot, corners[i] as Spot];
      const flat = a.y === b.y;
      const [p, q] = flat ? [a.x, b.x] : [a.y, b.y];
      lanes.push({ output: wire.output, flat, at: flat ? a.y : a.x, low: Math.min(p, q), high: Math.max(p, q) });
    }
    found.set(wire.id, { from: wire.from, to: wire.to, path: drawn(corners, [...boxes.values()]) });
  }
  return found;
}

/** The corners of the cheapest way, from end to end; null when there is none. */
function way(wire: Ends, boxes: Boxes, lanes: Lane[]): Spot[] | null {
  const { from, to } = wire;
  const start = { x: from.x + MARGIN, y: from.y };
  const goal = { x: to.x - MARGIN, y: to.y };
  const room = 240;
  const cards = [...boxes.values()].filter((box) => meets({ x: from.x, y: from.y }, { x: to.x, y: to.y }, box, room));
  if (cards.length > CARDS) return null;
  const others = lanes.filter((lane) => lane.output !== wire.output);
  const beside = (at: number, flat: boolean) => others.filter((lane) => lane.flat === flat && Math.abs(lane.at - at) < APART).flatMap((lane) => [lane.at - APART, lane.at + APART]);
  const lines = (values: number[], flat: boolean) => [...new Set(values.flatMap((at) => [at, ...beside(at, flat)]))].sort((a, b) => a - b);
  // A column more on either side: the last piece of a wire is level, too.
  const xs = lines([start.x, goal.x, start.x + MARGIN, goal.x - MARGIN, ...cards.flatMap((box) => [box.x - MARGIN, box.x + box.width + MARGIN])], false);
  const ys = lines([start.y, goal.y, ...cards.flatMap((box) => [box.y - MARGIN, box.y + box.height + MARGIN])], true);
  const free = (a: Spot, b: Spot) => !cards.some((box) => meets(a, b, box, APART - 2));
  const shared = (a: Spot, b: Spot): number => {
    const flat = a.y === b.y;
    const [at, p, q] = flat ? [a.y, a.x, b.x] : [a.x, a.y, b.y];
    return others.some((lane) => lane.flat === flat && Math.abs(lane.at - at) < APART - 1 && spans(p, q, lane.low, lane.high)) ? SHARED : 0;
  };
  // A state is a corner of the grid and whether the way there was level; both ends of a wire are.
  const count = ys.length;
  const key = (i: number, k: number, flat: boolean) => (i * count + k) * 2 + Number(flat);
  const first = key(xs.indexOf(start.x), ys.indexOf(start.y), true);
  const last = key(xs.indexOf(goal.x), ys.indexOf(goal.y), true);
  const costs = new Map<number, number>([[first, 0]]);
  const before = new Map<number, number>();
  const done = new Set<number>();
  const spotOf = (state: number): Spot => ({ x: xs[Math.floor(state / 2 / count)] as number, y: ys[(state >> 1) % count] as number });
  const left = (state: number) => {
    const spot = spotOf(state);
    return Math.abs(goal.x - spot.x) + Math.abs(goal.y - spot.y);
  };
  const open = new Heap();
  open.push(first, left(first));
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    if (state === last) break;
    if (done.has(state)) continue;
    done.add(state);
    const here = spotOf(state);
    const [i, k, flat] = [Math.floor(state / 2 / count), (state >> 1) % count, state % 2 === 1];
    for (const [di, dk] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
      const [ni, nk] = [i + di, k + dk];
      if (ni < 0 || nk < 0 || ni >= xs.length || nk >= count) continue;
      const level = di !== 0;
      const next = key(ni, nk, level);
      const there = spotOf(next);
      if (done.has(next) || !free(here, there)) continue;
      const back = state === first && di < 0 ? BEND : 0;
      const cost = (costs.get(state) as number) + Math.abs(there.x - here.x) + Math.abs(there.y - here.y) + (level === flat ? 0 : BEND) + shared(here, there) + back;
      if (cost >= (costs.get(next) ?? Infinity)) continue;
      costs.set(next, cost);
      before.set(next, state);
      open.push(next, cost + left(next));
    }
  }
  if (!costs.has(last)) return null;
  const corners: Spot[] = [{ ...to }];
  for (let state: number | undefined = last; state !== undefined; state = before.get(state)) corners.unshift(spotOf(state));
  corners.unshift({ ...from });
  return corners.filter((spot, i) => {
    const [a, b] = [corners[i - 1], corners[i + 1]];
    return !a || !b || !((a.x === spot.x && b.x === spot.x) || (a.y === spot.y && b.y === spot.y));
  });
}

/** The corners as a path: each change of height is a curve in the middle of the room there is for it. */
function drawn(corners: Spot[], boxes: Box[]): string {
  const [start] = corners as [Spot];
  const end = corners.at(-1) as Spot;
  let path = `M${start.x},${start.y}`;
  let here = start.x;
  for (let i = 1; i + 2 < corners.length; i += 2) {
    const [a, b] = [corners[i] as Spot, corners[i + 1] as Spot];
    const before = corners[i - 1] as Spot;
    const after = corners[i + 2] as Spot;
    const next = i + 3 < corners.length ? after.x : end.x;
    if (before.x > a.x || after.x < b.x) {
      // It turns back: round corners are all that fits.
      path += ` L${a.x},${a.y} L${b.x},${b.y}`;
      here = b.x;
      continue;
    }
    const beside = boxes.filter((box) => spans(a.y, b.y, box.y - 4, box.y + box.height + 4));
    const low = Math.max(here, ...beside.map((box) => box.x + box.width).filter((x) => x <= a.x));
    const high = Math.min(next, ...beside.map((box) => box.x).filter((x) => x >= a.x));
    const half = Math.min((high - low) / 2, 70);
    const middle = half >= 70 ? Math.min(Math.max(a.x, low + half), high - half) : (low + high) / 2;
    path += ` L${middle - half},${a.y} C${middle},${a.y} ${middle},${b.y} ${middle + half},${b.y}`;
    here = middle + half;
  }
  return `${path} L${end.x},${end.y}`;
}

/** The nearest first. */
class Heap {
  private items: [number, number][] = [];

  push(state: number, cost: number): void {
    const { items } = this;
    items.push([state, cost]);
    for (let i = items.length - 1; i > 0; ) {
      const up = (i - 1) >> 1;
      if ((items[up] as [number, number])[1] <= (items[i] as [number, number])[1]) break;
      [items[up], items[i]] = [items[i] as [number, number], items[up] as [number, number]];
      i = up;
    }
  }

  pop(): number | undefined {
    const { items } = this;
    const top = items[0];
    const tail = items.pop();
    if (!top || !tail) return undefined;
    if (items.length) {
      items[0] = tail;
      for (let i = 0; ; ) {
        const cost = (at: number) => items[at]?.[1] ?? Infinity;
        const down = cost(2 * i + 1) <= cost(2 * i + 2) ? 2 * i + 1 : 2 * i + 2;
        if (cost(down) >= cost(i)) break;
        [items[i], items[down]] = [items[down] as [number, number], items[i] as [number, number]];
        i = down;
      }
    }
    return top[0];
  }
}
