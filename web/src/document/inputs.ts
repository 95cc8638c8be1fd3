import { hasWidget, specOf, type Specs } from "./specs";
import { isLink, literal, parseEnd } from "./wires";
import type { GraphJson, InputSpec, Json, WorkflowJson } from "../protocol/types";

/** An input that a sweep can go through: typed in, not wired. */
export interface Sweepable {
  to: string;
  title: string;
  type: string;
  input: InputSpec;
  value: Json | undefined;
}

export function sweepable(document: WorkflowJson, specs: Specs): Sweepable[] {
  return Object.entries((document as GraphJson).nodes).flatMap(([node, json]) => {
    const spec = specOf(json, document, specs);
    return (spec?.inputs ?? []).filter(hasWidget).flatMap((input) => {
      const source = json.inputs[input.name];
      if (isLink(source)) return [];
      const value = source === undefined ? input.default : literal(source);
      return [{ to: `${node}.${input.name}`, title: `${json.title || node} · ${input.name}`, type: json.type, input, value }];
    });
  });
}

/** The seeds that a batch goes through: the parameter called so, else every seed that is typed in. */
export function seedsOf(document: WorkflowJson, specs: Specs): string | string[] {
  if (document.parameters?.seed) return "seed";
  const found = sweepable(document, specs).filter((item) => item.input.widget?.kind === "seed");
  const drawing = found.filter((item) => document.nodes[parseEnd(item.to).node]?.type.startsWith("denoise."));
  return (drawing.length ? drawing : found).map((item) => item.to);
}
