import { nameOf } from "../../document/specs";
import type { InputSpec } from "../../protocol/types";

function decimals(step: number | undefined): number {
  const text = String(step ?? 0.01);
  return text.includes(".") ? (text.split(".")[1] ?? "").length : 0;
}

/** The number a text means within the input's bounds; null when it is none. */
export function parseNumber(text: string, input: InputSpec): number | null {
  const value = Number(text.trim().replace(",", "."));
  if (!text.trim() || !Number.isFinite(value)) return null;
  const { low, high } = input.widget ?? {};
  const bounded = Math.min(high ?? Infinity, Math.max(low ?? -Infinity, value));
  return nameOf(input.type) === "int" ? Math.round(bounded) : bounded;
}

export function stepped(value: number, by: number, input: InputSpec): number {
  const int = nameOf(input.type) === "int";
  const step = input.widget?.step ?? (int ? 1 : 0.1);
  const moved = value + by * step;
  const { low, high } = input.widget ?? {};
  const bounded = Math.min(high ?? Infinity, Math.max(low ?? -Infinity, moved));
  return int ? Math.round(bounded) : Number(bounded.toFixed(Math.max(decimals(step), 2)));
}
