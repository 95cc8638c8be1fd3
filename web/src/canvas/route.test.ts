import { expect, test } from "vitest";
import { index, specOf } from "../document/specs";
import { wiresOf } from "../document/wires";
import type { Catalogue, WorkflowJson } from "../protocol/types";
import type { Box } from "./arrange";
import { shapeOf } from "./geometry";
import { layered } from "./layout";
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

type Point = { x: number; y: number };

/** Points along a path of lines and curves. */
function points(path: string): Point[] {
  const found: Point[] = [];
  for (const [, kind, body] of path.matchAll(/([MLC])([^MLC]+)/g)) {
    const [first, second, third] = (body as string).trim().split(" ").map((pair): Point => {
      const [x, y] = pair.split(",").map(Number);
      return { x: x ?? NaN, y: y ?? NaN };
    });
    const start = found.at(-1);
    if (!first) continue;
    if (!start || kind === "M") {
      found.push(first);
      continue;
    }
    const [b, c, d] = kind === "C" && second && third ? [first, second, third] : [start, first, first];
    for (let i = 1; i <= 40; i++) {
      const [t, u] = [i / 40, 1 - i / 40];
      const at = (axis: "x" | "y") => u ** 3 * start[axis] + 3 * u * u * t * b[axis] + 3 * u * t * t * c[axis] + t ** 3 * d[axis];
      found.push({ x: at("x"), y: at("y") });
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

test("a wire that goes back to the left passes above or below its own nodes", () => {
  const boxes = new Map([["a", box(600, 0)], ["b", box(200, 20)]]);
  const way = routes([wire([832, 60], [200, 70])], boxes).get("b|in");
  const spots = points(way?.path ?? "");
  expect(spots.at(-1)).toEqual({ x: 200, y: 70 });
  expect(spots.filter((spot) => [...boxes.values()].some((card) => within(spot, card)))).toEqual([]);
});

test("two wires of different outputs that go the same way lie beside each other", () => {
  const boxes = new Map([["a", box(0, 0)], ["b", box(700, 0)], ["c", box(330, 20)]]);
  const other = { ...wire([232, 72], [700, 72], "b|other"), output: "a.other" };
  const ways = routes([wire([232, 50], [700, 50]), other], boxes);
  const level = (id: string) => points(ways.get(id)?.path ?? "").find((spot) => spot.x > 440 && spot.x < 460)?.y ?? NaN;
  expect(Math.abs(level("b|in") - level("b|other"))).toBeGreaterThan(4);
});

const templates: Record<string, WorkflowJson> = import.meta.glob("../../../workflows/*.json", { import: "default", eager: true });
const pack: Record<string, Catalogue> = import.meta.glob("../../../nodes/nodes.json", { import: "default", eager: true });

test("in no template a wire runs behind a card", () => {
  const specs = index({ nodes: Object.values(pack)[0]?.nodes ?? [], types: [], packs: [], connect: {} });
  let led = 0;
  for (const document of Object.values(templates)) {
    const spots = layered(document, "", specs);
    const shapes = new Map(Object.entries(document.nodes).map(([name, node]) => [name, shapeOf(node, specOf(node, document, specs))]));
    const boxes = new Map([...shapes].map(([name, { width, height }]) => [name, { ...(spots[name] as Point), width, height }]));
    const port = (name: string, type: string, id: string): [number, number] => {
      const handle = shapes.get(name)?.handles.find((each) => each.type === type && (each.id === id || each.id === `${id}/0`));
      const at = spots[name] as Point;
      return [at.x + (handle?.x ?? 0) + (type === "source" ? 10 : 0), at.y + (handle?.y ?? 0) + 5];
    };
    const ends = [...wiresOf(document)].map((each) => wire(port(each.from.node, "source", each.from.output), port(each.node, "target", each.slot), `${each.node}|${each.slot}`, each.from.node, each.node));
    const ways = routes(ends, boxes);
    for (const each of ends.filter((end) => hidden(end, boxes))) {
      led++;
      const cards = [...boxes].filter(([name]) => name !== each.source && name !== each.target);
      const behind = cards.filter(([, card]) => points(ways.get(each.id)?.path ?? "").some((spot) => within(spot, card))).map(([name]) => name);
      expect([document.title, each.id, ways.has(each.id), behind]).toEqual([document.title, each.id, true, []]);
    }
  }
  expect(led).toBeGreaterThan(20);
});
