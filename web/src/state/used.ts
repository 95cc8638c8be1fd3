/** Which nodes this person adds: those used last and most stand first where nothing is asked for yet. */

import { recall, remember } from "./ui";

const KEY = "weft.nodes";
const KEPT = 60;
const DAY = 86_400_000;

type Use = [count: number, last: number];

function uses(): Record<string, Use> {
  try {
    const found: unknown = JSON.parse(recall(KEY) ?? "{}");
    return found && typeof found === "object" ? (found as Record<string, Use>) : {};
  } catch {
    return {}; // whatever was kept there is none of ours
  }
}

export function noteUse(id: string, now = Date.now()): void {
  const held = { ...uses(), [id]: [(uses()[id]?.[0] ?? 0) + 1, now] as Use };
  const kept = Object.entries(held).sort(([, a], [, b]) => b[1] - a[1]).slice(0, KEPT);
  remember(KEY, JSON.stringify(Object.fromEntries(kept)));
}

/** How much a node is in use: a use counts less with every day since. */
export function weights(now = Date.now()): Map<string, number> {
  const weigh = ([count, last]: Use) => (1 + Math.log2(count)) / (1 + Math.max(0, now - last) / DAY);
  return new Map(Object.entries(uses()).filter(([, use]) => Array.isArray(use) && use.every((part) => typeof part === "number")).map(([id, use]) => [id, weigh(use)]));
}
