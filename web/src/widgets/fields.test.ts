import { expect, test } from "vitest";
import { parseNumber, parseSeed, stepped, weigh } from "./fields";

test("seeds up to 2**64 - 1 stay exact, and nothing else is a seed", () => {
  expect(parseSeed("9007199254740991")).toBe(9007199254740991);
  expect(parseSeed("9007199254740992")).toBe("9007199254740992");
  expect(parseSeed("18446744073709551615")).toBe("18446744073709551615");
  for (const text of ["18446744073709551616", "-1", "1.5", "", "seven"]) expect(parseSeed(text)).toBeNull();
});

test("a number keeps within its bounds, and a whole one is whole", () => {
  const steps = { name: "steps", type: "int", widget: { low: 1, high: 100, step: 1 } };
  expect(parseNumber("500", steps)).toBe(100);
  expect(parseNumber("2.6", steps)).toBe(3);
  expect(parseNumber("2,5", { name: "cfg", type: "float" })).toBe(2.5);
  expect(parseNumber("x", steps)).toBeNull();
  expect(stepped(0.3, -1, { name: "cfg", type: "float", widget: { step: 0.1 } })).toBe(0.2);
  expect(stepped(1, -3, steps)).toBe(1);
});

test("Ctrl+Up weighs the word under the cursor, and back at 1 the brackets go", () => {
  const up = weigh("a red sphere", 3, 3, 0.1);
  expect(up).toEqual({ text: "a (red:1.1) sphere", from: 3, to: 6 });
  expect(weigh(up?.text ?? "", 3, 6, 0.1)?.text).toBe("a (red:1.2) sphere");
  expect(weigh(up?.text ?? "", 4, 4, -0.1)?.text).toBe("a red sphere");
  expect(weigh("  ", 1, 1, 0.1)).toBeNull();
});
