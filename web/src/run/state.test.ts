import { expect, test } from "vitest";
import type { Plan, WireEvent } from "../protocol/types";
import { forecastLine, outlooks, recalled, reduce, reduceQueue, START } from "./state";

const play = (events: WireEvent[], from = START) => events.reduce(reduce, from);
const job = "j1";

test("a run shows each node's phase, seconds and pictures, and only of the job that runs", () => {
  const state = play([
    { event: "job_started", job },
    { event: "planned", job, hit: 1, run: 2, maybe: 0, seconds: 3.5 },
    { event: "step_hit", job, path: "prompt" },
    { event: "step_started", job, path: "sample", steps: 20, resumed: 6 },
    { event: "step_progress", job, path: "sample", done: 12, total: 20 },
    { event: "step_progress", job: "another", path: "sample", done: 1, total: 2 },
    { event: "step_started", job: "another", path: "stranger" },
  ]);
  expect(state.nodes.prompt?.phase).toBe("hit");
  expect(state.nodes.sample).toMatchObject({ phase: "running", done: 12, total: 20 });
  expect(state.nodes.stranger).toBeUndefined();
  const done = play(
    [
      { event: "step_finished", job, path: "sample", seconds: 2.5, peak: 100 },
      { event: "step_pictures", job, path: "sample", output: "image", pictures: [{ blob: "abc", width: 8, height: 8 }] },
      { event: "job_finished", job, state: "succeeded", seconds: 3 },
    ],
    state,
  );
  expect(done.nodes.sample).toMatchObject({ phase: "done", seconds: 2.5, peak: 100 });
  expect(done.pictures.sample).toEqual([{ blob: "abc", width: 8, height: 8 }]);
  expect(done.state).toBe("succeeded");
});

test("pictures of the run before stay until there are new ones", () => {
  const before = play([
    { event: "job_started", job },
    { event: "step_pictures", job, path: "decode", pictures: [{ blob: "old", width: 8, height: 8 }] },
    { event: "job_finished", job, state: "succeeded", seconds: 1 },
    { event: "job_started", job: "j2" },
  ]);
  expect(before.nodes).toEqual({});
  expect(before.pictures.decode?.[0]?.blob).toBe("old");
});

test("a step inside an instance or a map shows on the node that holds it", () => {
  const state = play([
    { event: "job_started", job },
    { event: "step_started", job, path: "hires/sample", steps: 4 },
    { event: "step_finished", job, path: "hires/sample", seconds: 1 },
    { event: "step_failed", job, path: "hires/decode", problem: { code: "node.raised", message: "no" } },
  ]);
  expect(state.nodes.hires?.phase).toBe("failed");
  expect(state.nodes.hires?.problem?.message).toBe("no");
});

test("a cancelled job leaves no node running", () => {
  const state = play([
    { event: "job_started", job },
    { event: "step_started", job, path: "sample" },
    { event: "job_finished", job, state: "cancelled", seconds: 1 },
  ]);
  expect(state.nodes.sample?.phase).toBe("cancelled");
});

test("the queue follows the events, and is fetched again when its order changed or a job is unknown", () => {
  const queued = reduceQueue([], { event: "job_queued", job, title: "One" });
  expect(queued).toEqual([{ id: job, state: "queued", title: "One" }]);
  expect(reduceQueue(queued ?? [], { event: "job_finished", job, state: "failed" })?.[0]?.state).toBe("failed");
  expect(reduceQueue(queued ?? [], { event: "queue_changed" })).toBeNull();
  expect(reduceQueue([], { event: "job_started", job: "never seen" })).toBeNull();
});

const plan = (steps: Plan["steps"], seconds: number | null = 4): Plan => ({ steps, seconds, problems: [], lints: [] });

test("the run bar counts nodes that compute, not bookkeeping, and says when nothing is to do", () => {
  const steps = [
    { path: "load", node: "load.model", status: "light" },
    { path: "prompt", node: "text.encode", status: "hit" },
    { path: "sample", node: "denoise.sample", status: "run", seconds: 3 },
    { path: "save", node: "image.save", status: "maybe" },
  ];
  expect(forecastLine(plan(steps))).toBe("1 of 3 nodes, perhaps 1 more, ≈ 4.0 s");
  expect(forecastLine(plan(steps.slice(0, 2), 0))).toBe("everything is up to date");
  expect(forecastLine({ ...plan(steps), seconds: undefined })).toBe("1 of 3 nodes, perhaps 1 more");
  expect(forecastLine({ ...plan(steps), problems: [{ code: "graph.type", message: "" }] })).toBe("1 problem");
});

test("an instance is as busy as the busiest step inside, for the sum of their seconds", () => {
  const found = outlooks(
    plan([
      { path: "hires/scale", node: "image.scale", status: "hit" },
      { path: "hires/sample", node: "denoise.sample", status: "run", seconds: 2, why: "seed changed" },
      { path: "hires/decode", node: "vae.decode", status: "run", seconds: 0.5, why: "latent changed" },
    ]),
  );
  const mapped = outlooks(
    plan([
      { path: "each/0/sample", node: "denoise.sample", status: "hit" },
      { path: "each/1/sample", node: "denoise.sample", status: "run", seconds: 2 },
      { path: "each", node: "map", status: "light" },
    ]),
  );
  expect(mapped.each).toMatchObject({ forecast: "run", seconds: 2 });
  expect(found.hires).toMatchObject({ forecast: "run", seconds: 2.5, why: "seed changed" });
});

test("a plan brings back the pictures of what was seen before, on an instance too, and keeps what it has nothing newer for", () => {
  const red = { blob: "r", width: 8, height: 8 };
  const mask = { blob: "m", width: 8, height: 8 };
  const held = { decode: [{ blob: "old", width: 8, height: 8 }], other: [red] };
  const plan = (pictures: Record<string, (typeof red)[]>): Plan => ({ steps: [{ path: "decode", node: "d", status: "run" }, { path: "hires/decode", node: "d", status: "hit", pictures }], problems: [], lints: [] });
  const made = recalled(held, plan({ mask: [mask], image: [red] }));
  expect(made).toEqual({ decode: held.decode, other: [red], "hires/decode": [red], hires: [red] });
  expect(recalled(made, plan({ image: [{ ...red }] }))).toBe(made);
});
