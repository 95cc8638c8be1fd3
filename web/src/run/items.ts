/** Many runs as one job: values of an axis as people write them, and where each item stands in the grid. */

import { nameOf } from "../document/specs";
import type { InputSpec, Item, Job, Json, SweepJson } from "../protocol/types";
import { t } from "../words";

export const MOST_ITEMS = 1000;
/** So many items go through the model at once, where there is room. */
export const SHARE = 8;

export interface Values {
  values: Json[];
  /** What is wrong with the text; "" when nothing is. */
  problem: string;
}

const NUMBER = String.raw`-?\d+(?:\.\d+)?`;
// 1..9 | 1-9 | 1..9 step 2 | 1-9 (+2) | 0..1 x5 | 0-1 [5]
const RANGE = new RegExp(`^(${NUMBER})\\s*(?:\\.\\.|-|…|to)\\s*(${NUMBER})(?:\\s*(?:(?:step|by)\\s*(${NUMBER})|\\(\\s*\\+?(${NUMBER})\\s*\\)|[x×]\\s*(\\d+)|\\[\\s*(\\d+)\\s*\\]))?$`, "i");
const ROLLS = /^random\s*(?:[x×*]\s*)?(\d+)?$/i;

export const isTexts = (input: InputSpec): boolean => nameOf(input.type) === "str" && (input.widget?.kind === "prompt" || input.widget?.kind === "text" || !input.widget?.kind);
export const isSeedInput = (input: InputSpec): boolean => input.widget?.kind === "seed";

const tidy = (value: number): number => Number(value.toPrecision(10));

function range(match: RegExpExecArray, int: boolean): number[] | string {
  const [, a, b, step, plus, count, bracket] = match;
  const [from, to] = [Number(a), Number(b)];
  const many = Number(count ?? bracket ?? 0);
  if (many) {
    if (many > MOST_ITEMS) return t("at most {most} values", { most: MOST_ITEMS });
    const found = Array.from({ length: many }, (_, i) => tidy(many === 1 ? from : from + ((to - from) * i) / (many - 1)));
    return int ? [...new Set(found.map(Math.round))] : found;
  }
  const whole = Number.isInteger(from) && Number.isInteger(to);
  const by = Math.abs(Number(step ?? plus ?? (whole ? 1 : 0)));
  if (!by) {
    const few = Array.from({ length: 5 }, (_, i) => tidy(from + ((to - from) * i) / 4));
    return few;
  }
  const length = Math.floor(Math.abs(to - from) / by + 1e-9) + 1;
  if (length > MOST_ITEMS) return t("that is {n} values: at most {most}", { n: length, most: MOST_ITEMS });
  return Array.from({ length }, (_, i) => tidy(from + Math.sign(to - from || 1) * by * i));
}

/** `1, 2, 8`, `1..9 step 2`, `0..1 x5`, `random x8`; of texts one a line; of choices their names. */
export function valuesOf(text: string, input: InputSpec, choices: readonly (string | number)[] = []): Values {
  const bad = (problem: string): Values => ({ values: [], problem });
  const type = nameOf(input.type);
  if (isTexts(input)) {
    const lines = text.split("\n").filter((line) => line.trim());
    return lines.length ? { values: lines, problem: "" } : bad(t("write one text a line"));
  }
  const parts = text.split(/[,;\n]/).map((part) => part.trim()).filter(Boolean);
  if (!parts.length) return bad(type === "int" || type === "float" ? t("for example 1, 2, 8 or 1..9 step 2") : t("write values with commas between them"));
  const values: Json[] = [];
  for (const part of parts) {
    if (type === "bool") {
      const yes = /^(on|true|yes|1)$/i.test(part);
      if (!yes && !/^(off|false|no|0)$/i.test(part)) return bad(t("“{part}” is neither on nor off", { part }));
      values.push(yes);
    } else if (type === "int" || type === "float") {
      const rolls = isSeedInput(input) ? ROLLS.exec(part) : null;
      const match = RANGE.exec(part);
      if (rolls) for (let i = 0; i < Math.min(MOST_ITEMS, Number(rolls[1] ?? 4)); i++) values.push(Math.floor(Math.random() * 2 ** 32));
      else if (match) {
        const found = range(match, type === "int");
        if (typeof found === "string") return bad(found);
        values.push(...found);
      } else if (isSeedInput(input) && /^\d+$/.test(part) && !Number.isSafeInteger(Number(part))) values.push(part);
      else if (!new RegExp(`^${NUMBER}$`).test(part)) return bad(t("“{part}” is no number", { part }));
      else values.push(Number(part));
    } else {
      const known = choices.find((choice) => String(choice).toLowerCase() === part.toLowerCase());
      if (choices.length && known === undefined) return bad(t("“{part}” is none of the choices", { part }));
      values.push(known ?? part);
    }
  }
  const { low, high } = input.widget ?? {};
  const beyond = values.find((value) => typeof value === "number" && ((low !== undefined && value < low) || (high !== undefined && value > high)));
  if (beyond !== undefined) return bad(t("{value} is out of range: {low} to {high}", { value: String(beyond), low: low ?? "…", high: high ?? "…" }));
  if (type === "int" && values.some((value) => typeof value === "number" && !Number.isInteger(value))) return bad(t("whole numbers only"));
  return { values, problem: "" };
}

/** Values worth a first look, around the one that is there. */
export function suggestion(input: InputSpec, value: Json | undefined, choices: readonly (string | number)[] = []): string {
  const type = nameOf(input.type);
  if (isSeedInput(input)) return typeof value === "number" ? `${value}..${value + 7}` : "random x8";
  if (type === "bool") return "on, off";
  if (isTexts(input)) return typeof value === "string" ? value : "";
  if (type === "int" || type === "float") {
    const held = typeof value === "number" ? value : Number(input.default ?? 0);
    const [low, high] = input.widget?.soft ?? [input.widget?.low ?? -Infinity, input.widget?.high ?? Infinity];
    const int = type === "int";
    if (!int && high - low <= 1) return `${low}..${high} x5`;
    const around = int && held > 4 ? [0.5, 0.75, 1, 1.5, 2].map((factor) => held * factor) : [-2, -1, 0, 1, 2].map((by) => held + by * Math.max(1, Math.round(Math.abs(held) / 4)));
    const found = around.map((number) => Math.min(high, Math.max(low, int ? Math.round(number) : tidy(Math.round(number * 20) / 20))));
    return [...new Set(found)].join(", ");
  }
  const near = choices.slice(0, 12).map(String);
  return (near.length ? near : [String(value ?? "")]).join(", ");
}

// ------------------------------------------------------------------------------------------------------------- grid

export interface Cell {
  index: number;
  item: Item | undefined;
}

export interface Page {
  title: string;
  rows: { title: string; cells: Cell[] }[];
}

export interface Grid {
  /** Over the columns; empty for a mere row of items. */
  columns: string[];
  across: string;
  down: string;
  pages: Page[];
}

/** What tells values from one another: of long texts only the words in which they differ. */
export function tellApart(values: Json[]): string[] {
  const texts = values.map((value) => (typeof value === "string" ? value : typeof value === "boolean" ? (value ? "on" : "off") : JSON.stringify(value)));
  if (texts.length < 2 || texts.every((text) => text.length <= 14)) return texts;
  const words = texts.map((text) => text.split(/(?<=[\s,])|(?=[\s,])/));
  const shortest = Math.min(...words.map((list) => list.length));
  let from = 0;
  while (from < shortest && words.every((list) => list[from] === words[0]?.[from])) from++;
  let end = 0;
  while (end < shortest - from && words.every((list) => list[list.length - 1 - end] === words[0]?.[(words[0]?.length ?? 0) - 1 - end])) end++;
  return words.map((list, index) => {
    const middle = list.slice(from, list.length - end).join("").trim();
    return middle || (texts[index] === "" ? "–" : "·");
  });
}

/** The items as a grid: the last axis across, the one before down, the first as pages; without axes a square. */
export function gridOf(job: Pick<Job, "items" | "sweep">, stopped = false): Grid {
  const items = job.items ?? [];
  const axes = job.sweep?.axes ?? [];
  const cell = (index: number): Cell => ({ index, item: items[index] });
  if (!axes.length) {
    const wide = Math.max(1, Math.ceil(Math.sqrt(items.length * (stopped ? 1.6 : 1.3))));
    const rows = Array.from({ length: Math.ceil(items.length / wide) }, (_, row) => ({
      title: "",
      cells: items.slice(row * wide, (row + 1) * wide).map((_, i) => cell(row * wide + i)),
    }));
    return { columns: [], across: "", down: "", pages: [{ title: "", rows }] };
  }
  const x = axes[axes.length - 1] as SweepJson["axes"][number];
  const y = axes.length > 1 ? axes[axes.length - 2] : undefined;
  const z = axes.length > 2 ? axes[0] : undefined;
  const name = (axis: SweepJson["axes"][number] | undefined) => axis?.label || axis?.to[0] || "";
  const [wide, tall] = [x.values.length, y?.values.length ?? 1];
  const downNames = y ? tellApart(y.values) : [""];
  const pages = (z ? tellApart(z.values) : [""]).map((title, page) => ({
    title: z ? `${name(z)}: ${title}` : "",
    rows: downNames.map((rowTitle, row) => ({
      title: rowTitle,
      cells: Array.from({ length: wide }, (_, column) => cell((page * tall + row) * wide + column)),
    })),
  }));
  return { columns: tellApart(x.values), across: name(x), down: name(y), pages };
}

export const pictureOf = (item: Item | undefined) => item?.outputs.find((output) => output.kind === "image") ?? item?.outputs[0];

export const countOf = (job: Job): number => job.items?.length ?? Object.values(job.counts ?? {}).reduce((sum, count) => sum + count, 0);

/** Words that take the place of the first one in a text: `red, blue, dark green` of “a red cube” gives three texts. */
export function swapsOf(text: string, words: string): Values {
  const list = words.split(/[,\n]/).map((word) => word.trim()).filter(Boolean);
  const [first] = list;
  if (!first) return { values: [], problem: t("write words with commas between them, the first one from the text") };
  if (!text.includes(first)) return { values: [], problem: t("the text has no “{word}”: begin with a word that it has", { word: first }) };
  return { values: list.map((word) => text.replaceAll(first, word)), problem: list.length < 2 ? t("write at least one word to put in its place") : "" };
}
