import { expect, test } from "vitest";
import { calculate, parseSeed, readNumber, stepped, stride } from "./fields";
import { offersAt } from "./fields/prompt/complete";
import { spans } from "./fields/prompt/tint";
import { told } from "./fields/prompt/tokens";
import { weigh } from "./fields/prompt/weigh";
import { seedAfter } from "./fields/seed";
import { commonSizes } from "./fields/sizes";

test("seeds up to 2**64 - 1 stay exact, and nothing else is a seed", () => {
  expect(parseSeed("9007199254740991")).toBe(9007199254740991);
  expect(parseSeed("9007199254740992")).toBe("9007199254740992");
  expect(parseSeed("18446744073709551615")).toBe("18446744073709551615");
  for (const text of ["18446744073709551616", "-1", "1.5", "", "seven"]) expect(parseSeed(text)).toBeNull();
});

test("the seed after the last is the first, and each beyond 2**53 has its own", () => {
  expect(seedAfter("9007199254740991", 1)).toBe("9007199254740992");
  expect(seedAfter("9007199254740993", -1)).toBe("9007199254740992");
  expect(seedAfter("18446744073709551615", 1)).toBe(0);
  expect(seedAfter("0", -1)).toBe("18446744073709551615");
  expect(seedAfter("random", 1)).toBeNull();
});

const STEPS = { name: "steps", type: "int", widget: { low: 1, high: 100, step: 1 } };
const SIDE = { name: "width", type: "int", widget: { low: 16, high: 16384, step: 8 } };
const CFG = { name: "cfg", type: "float", widget: { low: 0, high: 30, step: 0.1 } };

test("a sum is what it comes to", () => {
  expect(calculate("512*1.5")).toBe(768);
  expect(calculate("1/3")).toBeCloseTo(1 / 3, 15);
  expect(calculate("2 + 3 * (4 - 1)")).toBe(11);
  expect(calculate("-2,5 × 2")).toBe(-5);
  expect(calculate("1e3/4")).toBe(250);
  for (const text of ["", "x", "2+", "(1", "1)", "1/0", "2 3", "alert(1)", "**"]) expect(calculate(text), text).toBeNull();
});

test("what the node does not take is refused with its bounds, and a whole number is whole", () => {
  expect(readNumber("500", STEPS)).toEqual({ refused: "bounds", low: 1, high: 100 });
  expect(readNumber("2.6", STEPS)).toEqual({ value: 3 });
  expect(readNumber("2,5", CFG)).toEqual({ value: 2.5 });
  expect(readNumber("0.1+0.2", CFG)).toEqual({ value: 0.3 });
  expect(readNumber("x", STEPS)).toEqual({ refused: "none" });
});

test("a step is ten times as far with Ctrl and a tenth with Shift, within the bounds", () => {
  const plain = { shiftKey: false, ctrlKey: false, metaKey: false };
  const move = (value: number, held: Partial<typeof plain>, input: typeof STEPS) => stepped(value, stride({ ...plain, ...held }, input), input);
  expect([move(512, {}, SIDE), move(512, { ctrlKey: true }, SIDE), move(512, { shiftKey: true }, SIDE)]).toEqual([520, 592, 513]);
  expect([move(0.3, {}, CFG), move(0.3, { ctrlKey: true }, CFG), move(0.3, { shiftKey: true }, CFG)]).toEqual([0.4, 1.3, 0.31]);
  expect([move(100, {}, STEPS), stepped(1, -3, STEPS), stepped(0.3, -1, CFG)]).toEqual([100, 1, 0.2]);
});

function weighed(text: string, from: number, to: number, by: number) {
  const change = weigh(text, from, to, by);
  return change && { text: text.slice(0, change.from) + change.text + text.slice(change.to), select: change.select };
}

test("Ctrl+Up weighs the word under the cursor, and back at 1 the brackets go", () => {
  const up = weighed("a red sphere", 3, 3, 0.1);
  expect(up).toEqual({ text: "a (red:1.1) sphere", select: [3, 6] });
  expect(weighed(up?.text ?? "", 3, 6, 0.1)?.text).toBe("a (red:1.2) sphere");
  expect(weighed(up?.text ?? "", 4, 4, -0.1)?.text).toBe("a red sphere");
  expect(weigh("  ", 1, 1, 0.1)).toBeNull();
});

test("a weight is changed where it is: of several words, of plain brackets, of a selection with its brackets", () => {
  expect(weighed("a (red cube:1.2)", 9, 9, 0.1)?.text).toBe("a (red cube:1.3)");
  expect(weighed("a (red cube)", 5, 5, 0.1)?.text).toBe("a (red cube:1.2)");
  expect(weighed("a (red cube:1.1)", 2, 16, -0.1)?.text).toBe("a red cube");
  expect(weighed("((sky:1.2) red:1.5)", 3, 3, 0.1)?.text).toBe("((sky:1.3) red:1.5)");
  expect(weighed("a red cube ", 2, 11, -0.1)?.text).toBe("a (red cube:0.9) ");
  expect(weighed("\\(red\\)", 3, 3, 0.1)?.text).toBe("\\((red:1.1)\\)");
  expect(weighed("(red:0)", 2, 2, -0.1)?.text).toBe("(red:0)");
});

const KNOWN = { names: { embedding: ["ink", "style/oil"], wildcard: ["animal", "animals/small"], lora: ["starter/size"] }, words: ["red sphere", "blurry", "dark red"] };
const at = (text: string, loud = false) => {
  const found = offersAt(text, text.length, KNOWN, loud);
  return found && [found.from, found.sure, found.offers.map((offer) => offer.text)];
};

test("what can be completed is told by the sign before the caret", () => {
  expect(at("a embedding:o")).toEqual([2, true, ["embedding:style/oil"]]);
  expect(at("a __ani")).toEqual([2, true, ["__animal__", "__animals/small__"]]);
  expect(at("a __animal__")).toBeNull();
  expect(at("<lora:")).toEqual([0, true, ["<lora:starter/size:1>"]]);
  expect(at("a {")).toEqual([2, true, ["{a|b}", "{3::a|1::b}", "{2$$a|b|c}"]]);
  expect(at("a \\{")).toBeNull();
});

test("plain words are completed from earlier prompts and embeddings, never by Enter alone", () => {
  expect(at("a re")).toEqual([2, false, ["red sphere", "dark red"]]);
  expect(at("a red sph")).toEqual([2, false, ["red sphere"]]);
  expect(at("in")).toEqual([0, false, ["embedding:ink"]]);
  expect(at("BR")).toEqual([0, false, ["BREAK"]]);
  expect(at("r")).toBeNull();
  expect(at("a ", true)?.[2]).toEqual(["red sphere", "blurry", "dark red"]);
  expect(offersAt("__an__", 4, KNOWN)?.offers[0]?.text).toBe("__animal");
});

const marked = (text: string, dialect?: "comfy" | "a1111" | "plain") =>
  spans(text, dialect)
    .filter((span) => span.mark)
    .map((span) => `${span.mark} ${text.slice(span.from, span.to)}`);

test("the syntax of a prompt is marked as the encoders read it", () => {
  expect(marked("a (red:1.2) BREAK embedding:ink")).toEqual(["weight (", "number :1.2", "weight )", "break BREAK", "name embedding:ink"]);
  expect(marked("{red|3::blue} __animal__ // not this")).toEqual(["choice {", "choice |3::", "choice }", "wildcard __animal__", "comment // not this"]);
  expect(marked("<lora:x:1> https://a.b \\(plain\\)")).toEqual(["lora <lora:x:1>"]);
  expect(marked("(red")).toEqual(["bad ("]);
  expect(marked("red) {a")).toEqual(["bad )", "bad {"]);
  expect([marked("[red]"), marked("[red]", "a1111"), marked("(red:1.2)", "plain")]).toEqual([[], ["weight [", "weight ]"], []]);
  expect(marked("BREAKFAST ratio:1.2)")).toEqual(["bad )"]);
});

test("the marks cover every letter once, in order", () => {
  for (const text of ["", "a (b:1.1), {c|d} __e__ /* f */ (g", "((((", "\\", "__", "<lora:", "{2$$a|b}"]) {
    expect(spans(text).map((span) => text.slice(span.from, span.to)).join("")).toBe(text);
  }
});

test("tokens are told for each window, and for each encoder that differs", () => {
  const count = (encoder: string, windows: number[], room: number) => ({ encoder, windows, room });
  expect(told([count("CLIP-L", [23], 75), count("CLIP-G", [23], 75)])?.text).toBe("23 / 75");
  expect(told([count("CLIP-L", [75, 12], 75)])?.text).toBe("75 · 12 / 75");
  expect(told([count("CLIP-L", [23], 75), count("T5", [600], 511)])).toEqual({ text: "CLIP-L 23 / 75   T5 600 / 511", over: true });
  expect(told([])).toBeNull();
});

test("the sizes are those of the family, each also upright, and those of the side that the model says", () => {
  expect(commonSizes("sdxl").slice(0, 3)).toEqual([[1024, 1024], [1152, 896], [896, 1152]]);
  expect(commonSizes("sd1")[0]).toEqual([512, 512]);
  expect(commonSizes("sd1", 128)[0]).toEqual([128, 128]);
  for (const [width, height] of commonSizes("flux")) expect(Math.abs(width * height - 1024 ** 2) / 1024 ** 2).toBeLessThan(0.1);
});
