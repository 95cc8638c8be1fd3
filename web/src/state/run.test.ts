import { beforeEach, expect, test } from "vitest";
import { told } from "../protocol/told";
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
