/** What a result was made with, as a person asks for it: the few values that decide most, then the rest. */

import type { Json, WorkflowJson } from "../protocol/types";

export interface Fact {
  to: string;
  name: string;
  value: Json;
}

const FIRST = ["seed", "steps", "cfg", "guidance", "sampler", "scheduler", "denoise", "model", "lora", "width", "height"];

/** Inputs that say what a file is called, not what is in the picture. */
const NAMES = new Set(["name", "prefix", "folder", "title"]);

/** Values typed into a graph, but for long texts and what is not set: those that people ask for come first. */
export function factsOf(workflow: WorkflowJson): Fact[] {
  const found: Fact[] = [];
  for (const [node, json] of Object.entries(workflow.nodes)) {
    for (const [input, value] of Object.entries(json.inputs)) {
      if (value === null || value === "" || typeof value === "object") continue;
      if (NAMES.has(input) && !json.type.includes("load")) continue;
      if (typeof value === "string" && (value.length > 60 || /\s\S+\s/.test(value))) continue;
      found.push({ to: `${node}.${input}`, name: input, value });
    }
  }
  const rank = (fact: Fact) => (FIRST.indexOf(fact.name) + 1 || FIRST.length + 1);
  return found.map((fact, index) => ({ fact, index })).sort((a, b) => rank(a.fact) - rank(b.fact) || a.index - b.index).map(({ fact }) => fact);
}

/** The texts of a graph, longest first: prompts, as a rule. */
export function textsOf(workflow: WorkflowJson): Fact[] {
  const found: Fact[] = [];
  for (const [node, json] of Object.entries(workflow.nodes)) {
    for (const [input, value] of Object.entries(json.inputs)) {
      if (typeof value === "string" && value.trim() && !NAMES.has(input) && (value.length > 60 || /\s\S+\s/.test(value))) found.push({ to: `${node}.${input}`, name: node, value });
    }
  }
  return found.sort((a, b) => String(b.value).length - String(a.value).length);
}
