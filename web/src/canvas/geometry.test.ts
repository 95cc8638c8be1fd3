import { expect, test } from "vitest";
import type { NodeSpec } from "../protocol/types";
import { folded, ROW, shapeOf } from "./geometry";

const SPEC: NodeSpec = {
  id: "vae.decode",
  title: "VAE decode",
  help: "",
  advanced: ["tile", "overlap"],
  inputs: [
    { name: "latent", type: "Latent", typed: false },
    { name: "tile", type: "int", default: 0 },
    { name: "overlap", type: "int", default: 64 },
  ],
  outputs: [{ name: "image", type: "Image" }],
};
const rows = (inputs: Record<string, never> | { tile: number }, options: Parameters<typeof shapeOf>[2] = {}) => {
  const shape = shapeOf({ type: SPEC.id, inputs }, SPEC, options);
  return { height: shape.height, handles: shape.handles.map((h) => h.id), kinds: shape.rows.map((row) => (row.kind === "widget" ? row.input.name : row.kind)) };
};

test("what few people turn is folded away, with its sockets, until it is asked for", () => {
  const shut = rows({});
  expect(shut.kinds).toEqual(["sockets", "more"]);
  expect(shut.handles).toEqual(["latent", "image"]);
  const open = rows({}, { open: true });
  expect(open.kinds).toEqual(["sockets", "tile", "overlap", "more"]);
  expect(open.handles).toEqual(["latent", "image", "tile", "overlap"]);
  expect(open.height - shut.height).toBe(2 * ROW + 4);
});

test("what is written, wired or in the form is never folded away", () => {
  expect(rows({ tile: 512 }).kinds).toEqual(["sockets", "tile", "more"]);
  expect(folded(SPEC, { type: SPEC.id, inputs: { tile: { from: "size.side" } } })).toEqual(["overlap"]);
  expect(rows({}, { exposed: new Set(["tile", "overlap"]) }).kinds).toEqual(["sockets", "tile", "overlap"]);
});
