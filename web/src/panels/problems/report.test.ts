import { expect, test } from "vitest";
import type { Problem } from "../../protocol/types";
import { reportOf } from "./report";

test("a report says what, where, what next and on which machine, then the trace", () => {
  const problem: Problem = { code: "node.failed", message: "it broke", severity: "error", where: { path: "hires/decode", socket: "latent" }, mend: { text: "look at the trace", edits: [] }, report: "Traceback…\n" };
  const server = { version: "1.2", numerics: { device: "cpu", dtype: "float32", threads: 2 } };
  expect(reportOf(problem, server)).toBe("node.failed: it broke\nat hires/decode.latent\nnext step: look at the trace\nWeft 1.2, cpu, float32\n\nTraceback…\n");
  expect(reportOf({ code: "x", message: "y", severity: "error", where: {} }, null)).toBe("x: y\n");
});
