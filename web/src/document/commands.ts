/** Mutations as data: a command is a row of puts, and applying one gives the command that takes it back. */

import type { WorkflowJson } from "../protocol/types";

/** Set what `path` leads to; without `value` it is removed. `index` keeps a key's place among its siblings. */
export interface Put {
  path: string[];
  value?: unknown;
  index?: number;
}

export interface Command {
  label: string;
  puts: Put[];
  /** Commands of the same key that follow one another are one undo step: typing, dragging a slider. */
  merge?: string;
  /** Changes the document but is no undo step: a roll of a seed. */
  quiet?: boolean;
}

type Tree = { [key: string]: unknown };

/** The changed document (sharing all that did not change) and the command that takes the change back. */
export function apply(document: WorkflowJson, command: Command): { document: WorkflowJson; inverse: Command } {
  let root = document as unknown as Tree;
  const back: Put[] = [];
  for (const put of command.puts) {
    const [changed, inverse] = place(root, put.path, 0, put);
    if (inverse) back.unshift(inverse);
    root = changed;
  }
  return { document: root as unknown as WorkflowJson, inverse: { label: command.label, puts: back } };
}

function place(tree: Tree, path: string[], depth: number, put: Put): [Tree, Put | null] {
  const key = path[depth];
  if (key === undefined) throw new Error("a put needs a path");
  const had = Object.hasOwn(tree, key);
  if (depth < path.length - 1) {
    const inner = had ? tree[key] : undefined;
    if (inner === undefined || inner === null || typeof inner !== "object") {
      if (put.value === undefined) return [tree, null];
      // The way there does not exist yet: made as one new branch, taken back as one.
      return [withKey(tree, key, branch(path.slice(depth + 1), put.value)), restore(tree, path.slice(0, depth + 1))];
    }
    const [changed, inverse] = place(inner as Tree, path, depth + 1, put);
    return changed === inner ? [tree, inverse] : [withKey(tree, key, changed), inverse];
  }
  if (put.value === undefined) {
    if (!had) return [tree, null];
    const rest = { ...tree };
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the copy is ours
    delete rest[key];
    return [rest, restore(tree, path)];
  }
  if (had && tree[key] === put.value) return [tree, null];
  return [withKey(tree, key, put.value, put.index), restore(tree, path)];
}

/** The put that makes `path` in a document what it is under `tree` now. */
function restore(tree: Tree, path: string[]): Put {
  const key = path[path.length - 1] as string;
  if (!Object.hasOwn(tree, key)) return { path };
  return { path, value: tree[key], index: Object.keys(tree).indexOf(key) };
}

function branch(path: string[], value: unknown): unknown {
  return path.reduceRight((inner: unknown, key) => ({ [key]: inner }), value);
}

function withKey(tree: Tree, key: string, value: unknown, index?: number): Tree {
  if (index === undefined || Object.hasOwn(tree, key)) return { ...tree, [key]: value };
  const entries = Object.entries(tree);
  entries.splice(Math.min(index, entries.length), 0, [key, value]);
  return Object.fromEntries(entries);
}

/** Several commands as one, each made for the document that those before it leave. */
export function chain(document: WorkflowJson, label: string, ...steps: ((document: WorkflowJson) => Command | null)[]): Command {
  const puts: Put[] = [];
  let now = document;
  for (const step of steps) {
    const command = step(now);
    if (!command) continue;
    puts.push(...command.puts);
    now = apply(now, command).document;
  }
  return { label, puts };
}
