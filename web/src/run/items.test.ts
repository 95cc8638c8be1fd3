import { expect, test } from "vitest";
import type { InputSpec, Item, Job } from "../protocol/types";
import { gridOf, suggestion, swapsOf, tellApart, valuesOf } from "./items";

const int: InputSpec = { name: "steps", type: "int", widget: { low: 1, high: 10_000, soft: [1, 50] } };
const float: InputSpec = { name: "cfg", type: "float", widget: { low: 0, high: 100, soft: [1, 12] } };
const seed: InputSpec = { name: "seed", type: "int", widget: { kind: "seed", low: 0 } };
const prompt: InputSpec = { name: "text", type: "str", widget: { kind: "prompt" } };
const choice: InputSpec = { name: "sampler", type: { name: "choice", choices: ["euler", "ddim"] } };

test("an axis takes lists, ranges by step and by count, and the way A1111 writes them", () => {
  const of = (text: string, input = int) => valuesOf(text, input).values;
  expect(of("4, 8,15")).toEqual([4, 8, 15]);
  expect(of("1..4")).toEqual([1, 2, 3, 4]);
  expect(of("1-9 (+4)")).toEqual([1, 5, 9]);
  expect(of("10..1 step 3")).toEqual([10, 7, 4, 1]);
  expect(of("1-10 [4]")).toEqual([1, 4, 7, 10]);
  expect(of("0..1 x5", float)).toEqual([0, 0.25, 0.5, 0.75, 1]);
  expect(of("0.1..0.3 step 0.1", float)).toEqual([0.1, 0.2, 0.3]);
  expect(of("1, 3..5", int)).toEqual([1, 3, 4, 5]);
  expect(of("random x6", seed)).toHaveLength(6);
  expect(of("18446744073709551615", seed)).toEqual(["18446744073709551615"]);
  expect(of("a red cube\n\n a blue cube", prompt)).toEqual(["a red cube", " a blue cube"]);
  expect(valuesOf("Euler, ddim", choice, ["euler", "ddim"]).values).toEqual(["euler", "ddim"]);
  expect(valuesOf("on, off", { name: "b", type: "bool" }).values).toEqual([true, false]);
});

test("what cannot be is said in words and gives nothing", () => {
  expect(valuesOf("1, two", int)).toEqual({ values: [], problem: "“two” is no number" });
  expect(valuesOf("0..3", int).problem).toContain("out of range");
  expect(valuesOf("1.5", int).problem).toBe("whole numbers only");
  expect(valuesOf("1..100000", int).problem).toContain("at most");
  expect(valuesOf("heun", choice, ["euler"]).problem).toContain("none of the choices");
  expect(valuesOf(" ", float).problem).not.toBe("");
});

test("what is suggested can be taken as it is", () => {
  for (const [input, value] of [[int, 20], [int, 1], [float, 7], [float, 0.5], [seed, 7], [seed, "random"], [prompt, "a cube"]] as const) {
    const { values, problem } = valuesOf(suggestion(input, value), input);
    expect(problem).toBe("");
    expect(values.length).toBeGreaterThan(0);
  }
  expect(valuesOf(suggestion(choice, "ddim", ["euler", "ddim"]), choice, ["euler", "ddim"]).values).toEqual(["euler", "ddim"]);
});

test("long texts are told apart by the words in which they differ", () => {
  expect(tellApart(["a red sphere on a gray background", "a blue sphere on a gray background"])).toEqual(["red", "blue"]);
  expect(tellApart([1, 2.5, true])).toEqual(["1", "2.5", "on"]);
  expect(tellApart(["short", "other"])).toEqual(["short", "other"]);
});

test("items stand row by row as the server counts them: the last axis across, the first as pages", () => {
  const items = Array.from({ length: 12 }, (_, index) => ({ index, set: {}, label: "", state: "queued", outputs: [], fraction: 0 }) as Item);
  const axes = [
    { to: ["s.sampler"], values: ["euler", "ddim"] },
    { to: ["s.cfg"], values: [1, 2], label: "cfg" },
    { to: ["s.steps"], values: [4, 8, 12] },
  ];
  const grid = gridOf({ items, sweep: { axes } } as Pick<Job, "items" | "sweep">);
  expect(grid.columns).toEqual(["4", "8", "12"]);
  expect([grid.across, grid.down]).toEqual(["s.steps", "cfg"]);
  expect(grid.pages.map((page) => page.title)).toEqual(["s.sampler: euler", "s.sampler: ddim"]);
  expect(grid.pages[1]?.rows[0]?.cells.map((cell) => cell.index)).toEqual([6, 7, 8]);
  const flat = gridOf({ items });
  expect(flat.pages[0]?.rows.flatMap((row) => row.cells.map((cell) => cell.index))).toEqual(items.map((item) => item.index));
});

test("words take the place of the first one, which must be in the text", () => {
  expect(swapsOf("a red cube, red light", "red, blue").values).toEqual(["a red cube, red light", "a blue cube, blue light"]);
  expect(swapsOf("a red cube", "green, blue").problem).toContain("has no “green”");
  expect(swapsOf("a red cube", "red").problem).not.toBe("");
});
