import { nameOf } from "../../document/specs";
import type { InputSpec } from "../../protocol/types";

function decimals(step: number | undefined): number {
  const text = String(step ?? 0.01);
  return text.includes(".") ? (text.split(".")[1] ?? "").length : 0;
}

/** What a sum means: + - * / and brackets, with a point or a comma in its numbers. Null when it is none. */
export function calculate(text: string): number | null {
  const signs = text.replace(/(\d),(\d)/g, "$1.$2").match(/\d+\.?\d*(?:e[+-]?\d+)?|\.\d+|[-+*/()×÷]|\S/gi) ?? [];
  let at = 0;
  const next = () => signs[at];
  // Each of these is NaN from where it stops to be a sum.
  const atom = (): number => {
    const sign = signs[at++];
    if (sign === "-") return -atom();
    if (sign === "+") return atom();
    if (sign === "(") {
      const inside = sum();
      return signs[at++] === ")" ? inside : NaN;
    }
    return sign !== undefined && /^[\d.]/.test(sign) ? Number(sign) : NaN;
  };
  const product = (): number => {
    let found = atom();
    for (let sign = next(); sign && "*/×÷".includes(sign); sign = next()) {
      at++;
      const other = atom();
      found = sign === "*" || sign === "×" ? found * other : found / other;
    }
    return found;
  };
  const sum = (): number => {
    let found = product();
    for (let sign = next(); sign === "+" || sign === "-"; sign = next()) {
      at++;
      found = sign === "+" ? found + product() : found - product();
    }
    return found;
  };
  const found = sum();
  return at === signs.length && Number.isFinite(found) ? found : null;
}

export type Read = { value: number } | { refused: "none" } | { refused: "bounds"; low?: number; high?: number };

/** The number that a text means for an input, or why it is none: no number, or beyond what the node takes. */
export function readNumber(text: string, input: InputSpec): Read {
  const found = calculate(text);
  if (found === null) return { refused: "none" };
  const value = nameOf(input.type) === "int" ? Math.round(found) : tidy(found);
  const { low, high } = input.widget ?? {};
  if ((low !== undefined && value < low) || (high !== undefined && value > high)) return { refused: "bounds", low, high };
  return { value };
}

/** 0.1 + 0.2 is 0.3. */
const tidy = (value: number): number => Number(value.toPrecision(12));

/** Moved by so many steps, within the bounds. */
export function stepped(value: number, by: number, input: InputSpec): number {
  const int = nameOf(input.type) === "int";
  const step = input.widget?.step ?? (int ? 1 : 0.1);
  const moved = value + by * step;
  const { low, high } = input.widget ?? {};
  const bounded = Math.min(high ?? Infinity, Math.max(low ?? -Infinity, moved));
  return int ? Math.round(bounded) : Number(bounded.toFixed(Math.max(decimals(step), decimals(by % 1 ? step / 10 : step), 2)));
}

/** How many steps a move is: Ctrl makes it ten times as far, Shift a tenth – of a whole number's step of 8, say, 1. */
export function stride(held: { shiftKey: boolean; ctrlKey: boolean; metaKey: boolean }, input: InputSpec): number {
  if (held.ctrlKey || held.metaKey) return 10;
  if (!held.shiftKey) return 1;
  const step = input.widget?.step ?? 1;
  return nameOf(input.type) === "int" ? Math.max(1, Math.round(step / 10)) / step : 0.1;
}
