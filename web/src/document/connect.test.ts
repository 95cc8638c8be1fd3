import { expect, test } from "vitest";
import golden from "../../../tests/golden/connect_cases.json";
import type { Fit, TypeJson } from "../protocol/types";
import { fit, index, typeText } from "./specs";

// The same table that pytest reads: what the server says of names, the editor must say of lists and options, too.
const CASES = golden.cases as unknown as [TypeJson, TypeJson, Fit, string][];
const connect: Record<string, Record<string, Fit>> = {};
for (const [source, target, verdict] of CASES) {
  if (typeof source !== "string" || typeof target !== "string" || /[?]$/.test(source + target) || source.endsWith("?")) continue;
  (connect[source] ??= {})[target] = verdict;
}
const SPECS = index({ nodes: [], types: [], packs: [], connect });

test.each(CASES.map(([source, target, verdict]) => ({ source, target, verdict, name: `${typeText(source)} → ${typeText(target)}` })))(
  "$name: $verdict",
  ({ source, target, verdict }) => {
    const said = fit(source, target, SPECS);
    expect(said.fit).toBe(verdict);
    if (verdict === "no") expect(said.why).not.toBe("");
  },
);
