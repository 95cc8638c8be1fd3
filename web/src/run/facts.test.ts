import { expect, test } from "vitest";
import type { WorkflowJson } from "../protocol/types";
import { factsOf, textsOf } from "./facts";

const workflow = {
  weft: 1,
  nodes: {
    prompt: { type: "text.encode", inputs: { text: "a red sphere left of a cube", clip: { from: "load.clip" } } },
    canvas: { type: "latent.empty", inputs: { width: 128, height: 96 } },
    sample: { type: "denoise.sample", inputs: { steps: 20, mode: "plain", seed: 7, negative: "" } },
  },
} as unknown as WorkflowJson;

test("what people ask for first stands first, wires and empty values are left out", () => {
  expect(factsOf(workflow).map((fact) => `${fact.to} ${String(fact.value)}`)).toEqual([
    "sample.seed 7",
    "sample.steps 20",
    "canvas.width 128",
    "canvas.height 96",
    "sample.mode plain",
  ]);
});

test("texts are told apart from names and choices", () => {
  expect(textsOf(workflow).map((text) => text.to)).toEqual(["prompt.text"]);
});
