import { beforeEach, expect, test } from "vitest";
import { told } from "../protocol/told";
import type { Plan, PlanStep, Problem } from "../protocol/types";
import { sentFrom, useRun } from "./run";

const held = () => useRun.getState();
const picture = [{ blob: "p", width: 8, height: 8 }];

beforeEach(() => held().show("one", ["one", "two"]));

test("what a job tells stands in the workflow that sent it, whichever is on screen", () => {
  sentFrom("job", "one");
  held().take(told({ event: "job_started", job: "job" }));
  held().show("two", ["one", "two"]);
  held().take(told({ event: "step_started", job: "job", path: "decode", steps: 1 }));
  held().take(told({ event: "step_pictures", job: "job", path: "decode", output: "image", pictures: picture }));
  expect(held().run.nodes).toEqual({});
  expect(held().run.pictures).toEqual({});
  held().show("one", ["one", "two"]);
  expect(held().run.nodes.decode?.phase).toBe("running");
  expect(held().run.pictures.decode).toEqual(picture);
});

test("a job of somebody else is followed on the workflow that is on screen, and a closed tab's run is forgotten", () => {
  held().take(told({ event: "job_started", job: "stranger" }));
  expect(held().run.job).toBe("stranger");
  held().show("two", ["two"]);
  expect(held().run.job).not.toBe("stranger");
  expect(held().others).toEqual({});
});

test("a plan changes what stands on the nodes whose outlook it changes, and on no other", () => {
  const step = (path: string, status: PlanStep["status"], why = "") => ({ path, node: "toy", status, why, steps: 0, resumed: 0, waits_for: [], pictures: {} });
  const plan = (...steps: PlanStep[]): Plan => ({ steps, drawn: {}, problems: [], lints: [problem("b")] });
  const problem = (path: string): Problem => ({ code: "lint.x", message: "advice", severity: "lint", where: { path } });
  held().setPlan(plan(step("a", "hit"), step("b", "hit"), step("c", "run", "new")));
  const before = { ...held().outlooks };
  const told = held().problems;
  let drawn = 0;
  const stop = useRun.subscribe((now, then) => {
    for (const path of ["a", "b", "c"]) if (now.outlooks[path] !== then.outlooks[path] || now.problems[path] !== then.problems[path]) drawn++;
  });
  held().setPlan(plan(step("a", "hit"), step("b", "hit"), step("c", "run", "new")));
  expect(drawn).toBe(0);
  expect(held().outlooks.a).toBe(before.a);
  expect(held().problems).toBe(told);
  held().setPlan(plan(step("a", "hit"), step("b", "run", "text changed"), step("c", "run", "new")));
  expect(drawn).toBe(1);
  expect(held().outlooks.b).not.toEqual(before.b);
  expect(held().outlooks.a).toBe(before.a);
  stop();
});
