/** A layered drawing whose wires are short, straight and seldom cross: the places know where on a node a wire ends.
 *
 * dagre says in which layer a node stands. Order within a layer and heights are ours, because dagre draws every wire
 * from the middle of a box: crossings are counted, and heights found, by sockets. Wires over several layers get lanes. */

import { graphlib, layout as dagre } from "@dagrejs/dagre";
import type { Spot } from "../protocol/types";

export interface Item {
  name: string;
  width: number;
  height: number;
}

/** A wire, and how far below the top of its nodes it begins and ends. */
export interface Line {
  from: string;
  to: string;
  out: number;
  into: number;
}

const GAP = 28;
const LANE = 16;
const COLUMN = 64;
/** So far a part of the graph may stand out above or below. */
const SLANT = 60;
/** Of graphs larger than this, neighbours are not tried in both orders. */
const SMALL = 160;

/** A node, or the place in a layer where a long wire passes. */
interface Vertex {
  name: string | null;
  height: number;
  rank: number;
  at: number;
  y: number;
}

interface Link {
  a: Vertex;
  b: Vertex;
  out: number;
  into: number;
  weight: number;
}

/** A place for every item. Parts that no wire joins stand below one another. */
export function layers(items: Item[], lines: Line[]): Record<string, Spot> {
  const spots: Record<string, Spot> = {};
  const parts = partsOf(items, lines);
  const alone = parts.filter((part) => part.length === 1 && parts.length > 1).flat();
  let top = 0;
  for (const part of parts.filter((each) => !alone.includes(each[0] as Item))) {
    const names = new Set(part.map((item) => item.name));
    const made = draw(part, lines.filter((line) => names.has(line.from) && names.has(line.to)));
    const high = Math.min(...Object.values(made).map((spot) => spot.y));
    for (const item of part) {
      const spot = made[item.name] as Spot;
      spots[item.name] = { x: Math.round(spot.x), y: Math.round(spot.y - high + top) };
    }
    top += Math.max(...part.map((item) => (made[item.name] as Spot).y - high + item.height)) + 2 * GAP;
  }
  let left = 0;
  for (const item of alone) {
    spots[item.name] = { x: left, y: Math.round(top) };
    left += item.width + GAP;
  }
  return spots;
}

/** The parts that wires hold together, the largest first. */
function partsOf(items: Item[], lines: Line[]): Item[][] {
  const head = new Map(items.map((item) => [item.name, item.name]));
  const root = (name: string): string => {
    let here = name;
    for (let up = head.get(here); up !== undefined && up !== here; up = head.get(here)) here = up;
    return here;
  };
  for (const { from, to } of lines) if (head.has(from) && head.has(to)) head.set(root(from), root(to));
  const parts = new Map<string, Item[]>();
  for (const item of items) parts.set(root(item.name), [...(parts.get(root(item.name)) ?? []), item]);
  return [...parts.values()].sort((a, b) => b.length - a.length);
}

function draw(items: Item[], lines: Line[]): Record<string, Spot> {
  const { columns, links, ranks } = ranked(items, lines);
  order(columns, links);
  heights(columns, links);
  level(columns);
  const lefts: number[] = [];
  let left = 0;
  for (const [rank, column] of columns.entries()) {
    lefts.push(left);
    const wide = Math.max(0, ...items.filter((item) => ranks.get(item.name) === rank).map((item) => item.width));
    // Many wires that change their height need room to do so.
    const bends = new Set(links.filter((link) => link.a.rank === rank && Math.abs(link.a.y + link.out - link.b.y - link.into) > 8).map((link) => link.a.at * 1000 + link.out));
    left += (column.length ? wide : 0) + COLUMN + Math.min(8, bends.size) * 6;
  }
  const widest = (rank: number) => (lefts[rank + 1] ?? left) - (lefts[rank] as number);
  return Object.fromEntries(
    columns.flat().flatMap((vertex) => {
      if (vertex.name === null) return [];
      const item = items.find((each) => each.name === vertex.name) as Item;
      // A narrow thing (a reroute) stands in the middle of its column.
      const x = (lefts[vertex.rank] as number) + Math.max(0, (Math.min(widest(vertex.rank) - COLUMN, 232) - item.width) / 2);
      return [[vertex.name, { x, y: vertex.y }]];
    }),
  );
}

function ranked(items: Item[], lines: Line[]): { columns: Vertex[][]; links: Link[]; ranks: Map<string, number> } {
  const drawing = new graphlib.Graph();
  drawing.setGraph({ rankdir: "LR", nodesep: GAP, ranksep: COLUMN, ranker: "network-simplex" });
  drawing.setDefaultEdgeLabel(() => ({}));
  for (const { name, width, height } of items) drawing.setNode(name, { width, height });
  for (const { from, to } of lines) drawing.setEdge(from, to);
  dagre(drawing);
  const first = (name: string) => drawing.node(name) as { x: number; y: number };
  const xs = [...new Set(items.map((item) => Math.round(first(item.name).x)))].sort((a, b) => a - b);
  const ranks = new Map(items.map((item) => [item.name, xs.indexOf(Math.round(first(item.name).x))]));
  const columns: Vertex[][] = xs.map(() => []);
  const held = new Map<string, Vertex>();
  const put = (key: string, vertex: Vertex): Vertex => {
    held.set(key, vertex);
    columns[vertex.rank]?.push(vertex);
    return vertex;
  };
  for (const item of [...items].sort((a, b) => first(a.name).y - first(b.name).y))
    put(item.name, { name: item.name, height: item.height, rank: ranks.get(item.name) as number, at: 0, y: 0 });
  const links: Link[] = [];
  const joined = new Set<string>();
  for (const { from, to, out, into } of lines) {
    const [a, b] = [held.get(from) as Vertex, held.get(to) as Vertex];
    let here = a;
    // Wires of one output share a lane for as long as they go the same way.
    for (let rank = a.rank + 1; rank < b.rank; rank++) {
      const key = `${from}|${out}|${rank}`;
      const lane = held.get(key) ?? put(key, { name: null, height: 0, rank, at: 0, y: 0 });
      if (!joined.has(key)) links.push({ a: here, b: lane, out: here === a ? out : 0, into: 0, weight: here === a ? 1.5 : 6 });
      joined.add(key);
      here = lane;
    }
    links.push({ a: here, b, out: here === a ? out : 0, into, weight: here === a ? 1.5 : 2 });
  }
  for (const column of columns) column.forEach((vertex, at) => (vertex.at = at));
  return { columns, links, ranks };
}

function grouped<T, K>(items: T[], key: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const held = groups.get(key(item));
    if (held) held.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}

/** Where a wire ends, in the order of its column: the index, and how far down the node. */
const end = (vertex: Vertex, port: number): number => vertex.at + (vertex.height ? (0.9 * port) / vertex.height : 0.45);

/** Crossings between each two neighbouring columns, counted as inversions. */
function crossings(links: Link[]): number {
  const gaps = new Map<number, [number, number][]>();
  for (const { a, b, out, into } of links) gaps.set(a.rank, [...(gaps.get(a.rank) ?? []), [end(a, out), end(b, into)]]);
  let count = 0;
  for (const pairs of gaps.values()) {
    pairs.sort((p, q) => p[0] - q[0] || p[1] - q[1]);
    const seen: number[] = [];
    for (const [, target] of pairs) {
      let [low, high] = [0, seen.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((seen[middle] as number) <= target) low = middle + 1;
        else high = middle;
      }
      count += seen.length - low;
      seen.splice(low, 0, target);
    }
  }
  return count;
}

function order(columns: Vertex[][], links: Link[]): void {
  const into = grouped(links, (link) => link.b);
  const outOf = grouped(links, (link) => link.a);
  const sort = (column: Vertex[], wires: (vertex: Vertex) => number[]) => {
    const keys = new Map(
      column.map((vertex) => {
        const ends = wires(vertex);
        return [vertex, ends.length ? ends.reduce((sum, each) => sum + each, 0) / ends.length : vertex.at];
      }),
    );
    column.sort((a, b) => (keys.get(a) as number) - (keys.get(b) as number));
    column.forEach((vertex, at) => (vertex.at = at));
  };
  const save = () => columns.map((column) => [...column]);
  const load = (held: Vertex[][]) =>
    held.forEach((column, rank) => {
      columns[rank] = column;
      column.forEach((vertex, at) => (vertex.at = at));
    });
  let best = save();
  let least = crossings(links);
  for (let sweep = 0; sweep < 12 && least > 0; sweep++) {
    const forth = sweep % 2 === 0;
    for (const column of forth ? columns : [...columns].reverse()) {
      sort(column, (vertex) =>
        forth ? (into.get(vertex) ?? []).map((link) => end(link.a, link.out)) : (outOf.get(vertex) ?? []).map((link) => end(link.b, link.into)),
      );
    }
    const count = crossings(links);
    if (count < least) [best, least] = [save(), count];
  }
  load(best);
  if (columns.flat().length > SMALL) return;
  for (let turn = 0, better = true; turn < 6 && better && least > 0; turn++) {
    better = false;
    for (const column of columns) {
      for (let at = 0; at + 1 < column.length; at++) {
        const [a, b] = [column[at] as Vertex, column[at + 1] as Vertex];
        const swap = (first: Vertex, second: Vertex) => {
          column[at] = first;
          column[at + 1] = second;
          [first.at, second.at] = [at, at + 1];
        };
        swap(b, a);
        const count = crossings(links);
        if (count < least) [least, better] = [count, true];
        else swap(a, b);
      }
    }
  }
}

const gapOf = (a: Vertex, b: Vertex): number => (a.name === null && b.name === null ? 10 : a.name === null || b.name === null ? LANE : GAP);

/** Heights: each vertex goes where its wires are straight, as far as its neighbours in the column leave room. */
function heights(columns: Vertex[][], links: Link[]): void {
  const at = grouped(
    links.flatMap((link) => [
      { own: link.a, other: link.b, shift: link.into - link.out, weight: link.weight },
      { own: link.b, other: link.a, shift: link.out - link.into, weight: link.weight },
    ]),
    (each) => each.own,
  );
  for (const column of columns) {
    const tall = column.reduce((sum, vertex, i) => sum + vertex.height + (i ? gapOf(column[i - 1] as Vertex, vertex) : 0), 0);
    let y = -tall / 2;
    for (const [i, vertex] of column.entries()) {
      vertex.y = i ? (y += gapOf(column[i - 1] as Vertex, vertex)) : y;
      y += vertex.height;
    }
  }
  const turns = columns.flat().length > 600 ? 16 : 80;
  for (let turn = 0; turn < turns; turn++) {
    for (const column of turn % 2 ? [...columns].reverse() : columns) {
      const wanted = column.map((vertex) => {
        let [sum, weights] = [0, 0];
        for (const { other, shift, weight } of at.get(vertex) ?? []) {
          const y = other.y + shift;
          // What is nearly straight pulls hardest: one straight wire and one bent are better than two bent ones.
          const pull = turn < 8 ? weight : weight / (6 + Math.abs(y - vertex.y));
          sum += y * pull;
          weights += pull;
        }
        return weights ? { y: sum / weights, weight: weights } : { y: vertex.y, weight: 1e-4 };
      });
      settle(column, wanted);
    }
  }
}

/** What stands far above or below all that comes before it is brought level: a bend more, and the whole fits a screen. */
function level(columns: Vertex[][]): void {
  const reach = (some: Vertex[][]): [number, number] => {
    const nodes = some.flat().filter((vertex) => vertex.name !== null);
    return [Math.min(...nodes.map((vertex) => vertex.y)), Math.max(...nodes.map((vertex) => vertex.y + vertex.height))];
  };
  for (let rank = 1; rank < columns.length; rank++) {
    const after = columns.slice(rank);
    const [top, bottom] = reach(columns.slice(0, rank));
    const [high, low] = reach(after);
    const up = Math.min(low - bottom, high - top);
    const down = Math.min(top - high, bottom - low);
    const by = up > SLANT ? -up : down > SLANT ? down : 0;
    if (by) for (const vertex of after.flat()) vertex.y += by;
  }
}

/** The heights nearest to those wanted that keep the order and the gaps (pools of what pushes one another). */
function settle(column: Vertex[], wanted: { y: number; weight: number }[]): void {
  const offsets: number[] = [];
  let offset = 0;
  for (const [i, vertex] of column.entries()) {
    if (i) offset += (column[i - 1] as Vertex).height + gapOf(column[i - 1] as Vertex, vertex);
    offsets.push(offset);
  }
  const pools: { y: number; weight: number; count: number }[] = [];
  for (const [i, { y, weight }] of wanted.entries()) {
    let pool = { y: y - (offsets[i] as number), weight, count: 1 };
    for (let last = pools.at(-1); last && last.y > pool.y; last = pools.at(-1)) {
      pools.pop();
      const sum = last.weight + pool.weight;
      pool = { y: (last.y * last.weight + pool.y * pool.weight) / sum, weight: sum, count: last.count + pool.count };
    }
    pools.push(pool);
  }
  let i = 0;
  for (const pool of pools) {
    for (let k = 0; k < pool.count; k++, i++) (column[i] as Vertex).y = pool.y + (offsets[i] as number);
  }
}
