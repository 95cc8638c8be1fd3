import { expect, test } from "vitest";
import { type Part, told } from "../protocol/told";
import type { Plan, PlanStep } from "../protocol/types";
import { due, forecastLine, outlooks, recalled, reduce, reduceQueue, START } from "./state";

const play = (events: Part[], from = START) => events.map(told).reduce(reduce, from);
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
      { event: "job_finished", job, state: "succeeded", seconds: 3, problems: [] },
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
  const queued = reduceQueue([], told({ event: "job_queued", job, title: "One" }));
  expect(queued).toMatchObject([{ id: job, state: "queued", title: "One" }]);
  expect(reduceQueue(queued ?? [], told({ event: "job_finished", job, state: "failed" }))?.[0]?.state).toBe("failed");
  const two = reduceQueue(queued ?? [], told({ event: "job_queued", job: "j2", title: "Two" })) ?? [];
  expect(reduceQueue(two, told({ event: "queue_changed", waiting: ["j2", job] }))?.map((one) => one.id)).toEqual(["j2", job]);
  expect(reduceQueue(two, told({ event: "queue_changed", waiting: ["never seen"] }))).toBeNull();
  expect(reduceQueue(two, told({ event: "step_progress", job, fraction: 0.5 }))?.[0]?.fraction).toBe(0.5);
  expect(reduceQueue([], told({ event: "job_started", job: "never seen" }))).toBeNull();
});

type Row = Pick<PlanStep, "path" | "node" | "status"> & Partial<PlanStep>;
const plan = (rows: Row[], seconds = 4): Plan => ({
  steps: rows.map((row) => ({ why: "", steps: 0, resumed: 0, waits_for: [], pictures: {}, ...row })),
  seconds,
  problems: [],
  lints: [],
  drawn: {},
});

test("the run bar counts nodes that compute, not bookkeeping, and says when nothing is to do", () => {
  const steps: Row[] = [
    { path: "load", node: "load.model", status: "light" },
    { path: "prompt", node: "text.encode", status: "hit" },
    { path: "sample", node: "denoise.sample", status: "run", seconds: 3 },
    { path: "save", node: "image.save", status: "maybe" },
  ];
  expect(forecastLine(plan(steps))).toBe("1 of 3 nodes, perhaps 1 more, ≈ 4.0 s");
  expect(forecastLine(plan(steps.slice(0, 2), 0))).toBe("everything is up to date");
  expect(forecastLine({ ...plan(steps), seconds: undefined })).toBe("1 of 3 nodes, perhaps 1 more");
  expect(forecastLine({ ...plan(steps), problems: [{ code: "graph.type", message: "", severity: "error", where: {} }] })).toBe("1 problem");
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
  const red = { blob: "r", width: 8, height: 8, mime: "image/png" };
  const mask = { blob: "m", width: 8, height: 8, mime: "image/png" };
  const held = { decode: [{ blob: "old", width: 8, height: 8 }], other: [red] };
  const seen = (pictures: PlanStep["pictures"]): Plan => plan([{ path: "decode", node: "d", status: "run" }, { path: "hires/decode", node: "d", status: "hit", pictures }]);
  const made = recalled(held, seen({ mask: [mask], image: [red] }));
  expect(made).toEqual({ decode: held.decode, other: [red], "hires/decode": [red], hires: [red] });
  expect(recalled(made, seen({ image: [{ ...red }] }))).toBe(made);
});

test("the line tells the memory that the largest step needs, and the list why each node runs", () => {
  const made: Plan = {
    ...plan(
      [
      { path: "load", node: "load.model", status: "light" },
      { path: "prompt", node: "text.encode", status: "run", why: "text changed", seconds: 0.4, memory: 400e6 },
      { path: "hires/sample", node: "denoise.sample", status: "run", why: "positive changed (from prompt)", seconds: 2, memory: 1.2e9 },
      { path: "hires/decode", node: "vae.decode", status: "run", why: "latent changed", seconds: 1, memory: 900e6 },
      { path: "grid", node: "image.grid", status: "maybe", waits_for: ["hires/decode"] },
      { path: "picture", node: "image.load", status: "hit" },
    ],
      3.4,
    ),
    memory: 1.2e9,
  };
  expect(forecastLine(made)).toBe("3 of 5 nodes, perhaps 1 more, ≈ 3.4 s, 1.2 GB");
  const found = due(made);
  expect(found.run.map((item) => [item.node, item.outlook.why, item.outlook.seconds, item.outlook.memory])).toEqual([
    ["prompt", "text changed", 0.4, 400e6],
    ["hires", "positive changed (from prompt)", 3, 1.2e9],
  ]);
  expect(found.maybe.map((item) => item.node)).toEqual(["grid"]);
  expect(found.cached).toBe(1);
});
