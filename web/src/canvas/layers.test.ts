import fc from "fast-check";
import { expect, test } from "vitest";
import { index, specOf } from "../document/specs";
import type { Catalogue, WorkflowJson } from "../protocol/types";
import { shapeOf } from "./geometry";
import { type Item, layers, type Line } from "./layers";
import { layered } from "./layout";

const templates: Record<string, WorkflowJson> = import.meta.glob("../../../workflows/*.json", { import: "default", eager: true });
const pack: Record<string, Catalogue> = import.meta.glob("../../../nodes/nodes.json", { import: "default", eager: true });
const [nodes] = Object.values(pack) as [Catalogue];
const SPECS = index({ nodes: nodes.nodes, types: [], packs: [], connect: {} });

const overlap = (a: { x: number; y: number; width: number; height: number }, b: typeof a) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

test("whatever the graph, no node covers another and every wire goes to the right", () => {
  const graph = fc.integer({ min: 1, max: 24 }).chain((count) =>
    fc.record({
      heights: fc.array(fc.integer({ min: 30, max: 500 }), { minLength: count, maxLength: count }),
      wires: fc.array(fc.tuple(fc.nat({ max: count - 1 }), fc.nat({ max: count - 1 }), fc.nat({ max: 29 }), fc.nat({ max: 29 })), { maxLength: 3 * count }),
    }),
  );
  fc.assert(
    fc.property(graph, ({ heights, wires }) => {
      const items = heights.map((height, i): Item => ({ name: `n${i}`, width: 232, height }));
      const lines = wires.filter(([a, b]) => a < b).map(([a, b, out, into]): Line => ({ from: `n${a}`, to: `n${b}`, out, into }));
      const spots = layers(items, lines);
      const boxes = items.map((item) => ({ ...item, ...(spots[item.name] as { x: number; y: number }) }));
      expect(boxes).toHaveLength(items.length);
      for (const [i, a] of boxes.entries()) for (const b of boxes.slice(i + 1)) expect(overlap(a, b) ? `${a.name} over ${b.name}` : "").toBe("");
      for (const line of lines) expect((spots[line.from]?.x ?? 0) + 232).toBeLessThan(spots[line.to]?.x ?? 0);
    }),
    { numRuns: 150, seed: 20260102 },
  );
}, 60_000);

test("in no graph of a template a node lies over another", () => {
  expect(Object.keys(templates).length).toBeGreaterThan(30);
  for (const document of Object.values(templates)) {
    for (const scope of ["", ...Object.keys(document.graphs ?? {})]) {
      const graph = scope ? (document.graphs?.[scope] ?? { nodes: {} }) : document;
      const spots = layered(document, scope, SPECS);
      const boxes = Object.entries(graph.nodes).map(([name, node]) => {
        const { width, height } = shapeOf(node, specOf(node, document, SPECS));
        return { name, width, height, ...(spots[name] as { x: number; y: number }) };
      });
      for (const [i, a] of boxes.entries()) for (const b of boxes.slice(i + 1)) expect(overlap(a, b) ? `${document.title}: ${a.name} over ${b.name}` : "").toBe("");
    }
  }
});
