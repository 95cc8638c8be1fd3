/** Undo and redo of everything: the document, the commands that take it back, and those that bring it forth again. */

import type { WorkflowJson } from "../protocol/types";
import { apply, type Command } from "./commands";

export interface History {
  document: WorkflowJson;
  past: Command[];
  future: Command[];
}

const DEPTH = 500;

export const begin = (document: WorkflowJson): History => ({ document, past: [], future: [] });

/** Another document stands in its place, as one step that can be taken back. */
export function replace(held: History, document: WorkflowJson): History {
  if (held.document === document) return held;
  const [from, to] = [held.document, document] as unknown as { [key: string]: unknown }[];
  const names = [...new Set([...Object.keys(from ?? {}), ...Object.keys(to ?? {})])];
  const puts = names.filter((name) => from?.[name] !== to?.[name]).map((name) => ({ path: [name], value: to?.[name] }));
  const next = perform(held, { label: "Changes of another browser", puts });
  return { ...next, document };
}

export function perform(history: History, command: Command): History {
  const { document, inverse } = apply(history.document, command);
  if (!inverse.puts.length) return history;
  if (command.quiet) return { ...history, document };
  const last = history.past[history.past.length - 1];
  if (command.merge && last?.merge === command.merge && !history.future.length) {
    const merged = { ...last, puts: [...inverse.puts, ...last.puts] };
    return { document, past: [...history.past.slice(0, -1), squash(merged)], future: [] };
  }
  return { document, past: [...history.past, { ...inverse, merge: command.merge }].slice(-DEPTH), future: [] };
}

/** A row of puts to the same place comes down to its last one: typing a long prompt stays one put. */
function squash(command: Command): Command {
  const paths = command.puts.map((put) => put.path.join("\0"));
  return paths.every((path) => path === paths[0]) ? { ...command, puts: command.puts.slice(-1) } : command;
}

/** The next command of the same key begins an undo step of its own. */
export function settle(history: History): History {
  const last = history.past[history.past.length - 1];
  return last?.merge ? { ...history, past: [...history.past.slice(0, -1), { ...last, merge: undefined }] } : history;
}

export function undo(history: History): History {
  const command = history.past[history.past.length - 1];
  if (!command) return history;
  const { document, inverse } = apply(history.document, command);
  return { document, past: history.past.slice(0, -1), future: [...history.future, inverse] };
}

export function redo(history: History): History {
  const command = history.future[history.future.length - 1];
  if (!command) return history;
  const { document, inverse } = apply(history.document, command);
  return { document, past: [...history.past, inverse], future: history.future.slice(0, -1) };
}
