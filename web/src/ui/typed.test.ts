import { expect, test } from "vitest";
import { sendOn, shownOf } from "./typed";

test("a letter is shown before the document has it, and while it has only some of them", () => {
  const one = sendOn(null, "a", "ab");
  expect(shownOf(one, "a")).toBe("ab");
  const two = sendOn(one, "a", "abc");
  expect(shownOf(two, "a")).toBe("abc");
  expect(shownOf(two, "ab")).toBe("abc");
  expect(sendOn(two, "ab", "abcd")).toEqual({ before: "ab", sent: ["abc", "abcd"] });
  expect(shownOf(two, "abc")).toBe("abc");
});

test("what is changed elsewhere meanwhile is shown, and typing goes on from there", () => {
  const way = sendOn(null, "a", "ab");
  expect(shownOf(way, "undone")).toBe("undone");
  expect(sendOn(way, "undone", "undone!")).toEqual({ before: "undone", sent: ["undone!"] });
  expect(shownOf(null, "a")).toBe("a");
});
