/** Where things stand in the document, and the small words all operations share. */

import type { GraphJson, Spot, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";

export type MaybeCommand = Command | null;

export const EMPTY: WorkflowJson = { weft: 1, title: "", nodes: {}, parameters: {}, outputs: {}, view: {} };

export const rootOf = (scope: string): string[] => (scope ? ["graphs", scope] : []);
export const graphAt = (document: WorkflowJson, scope: string): GraphJson =>
  scope ? (document.graphs?.[scope] ?? { nodes: {} }) : document;

/** The key under which a node's place is kept: its name, inside a sub-graph after `#graph/`. */
export const viewKey = (scope: string, name: string): string => (scope ? `#${scope}/${name}` : name);

/** What the view keeps of a node beside its place; it goes where the node goes. */
export const KEPT = ["collapsed", "open", "hues"] as const;

/** `sample`, or `sample_2` when it is taken. Names exclude `. / #`. */
export function freeName(wanted: string, taken: { [name: string]: unknown } | Set<string>): string {
  const has = (name: string) => (taken instanceof Set ? taken.has(name) : Object.hasOwn(taken, name));
  const base = wanted.replace(/[./#]/g, " ").trim() || "node";
  let name = base;
  for (let number = 2; has(name); number++) name = `${base}_${number}`;
  return name;
}

export const baseName = (type: string): string => type.replace(/^#/, "").split(".").pop() ?? type;

export function nodePut(scope: string, name: string, ...rest: string[]): string[] {
  return [...rootOf(scope), "nodes", name, ...rest];
}

export const spotPut = (scope: string, name: string, spot: Spot | undefined): Put => ({
  path: ["view", "nodes", viewKey(scope, name)],
  value: spot && { x: Math.round(spot.x), y: Math.round(spot.y) },
});
