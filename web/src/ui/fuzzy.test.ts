import { expect, test } from "vitest";
import { best, score } from "./fuzzy";

test("a beginning wins over a word inside, a word over scattered letters, and what is not there is nothing", () => {
  expect(score("dec", "Decode")).toBeGreaterThan(score("dec", "VAE decode"));
  expect(score("dec", "VAE decode")).toBeGreaterThan(score("dec", "Direct encode"));
  expect(score("xyz", "Decode")).toBe(0);
});

test("other tools' names find a node, behind its own name", () => {
  expect(best("ksampler", ["Denoise sample", "KSampler"])).toBeGreaterThan(50);
  expect(best("sample", ["sample", "x"])).toBeGreaterThan(best("sample", ["x", "sample"]));
});
