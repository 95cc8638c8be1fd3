/** The labels of commands as a person reads them. */

import { t, type Text } from "../words";

const FIXED: Record<string, Text> = {
  move: "moved",
  "lay out": "laid out",
  align: "aligned",
  distribute: "spaced evenly",
  frame: "a frame",
  note: "a note",
  stubs: "wires as stubs",
  "whole wires": "stubs as wires",
  mute: "muted",
  unmute: "no longer muted",
  bypass: "bypassed",
  unbypass: "no longer bypassed",
  title: "a title",
  fold: "folded",
  "all widgets": "all values shown",
  "fewer widgets": "few values shown",
  unfold: "unfolded",
  paste: "pasted",
  duplicate: "duplicated",
  colour: "another colour",
  delete: "deleted",
  "cut a wire": "a wire cut",
  "move a wire": "a wire moved",
  reroute: "a bend in a wire",
  "make a sub-graph": "made a sub-graph",
  "unpack the sub-graph": "unpacked a sub-graph",
  "put into the wire": "put into a wire",
};

const PATTERNS: [RegExp, Text][] = [
  [/^add (.+)$/, "added {what}"],
  [/^delete (\d+) nodes$/, "deleted {what} nodes"],
  [/^delete (.+)$/, "deleted {what}"],
  [/^take out (\d+) nodes$/, "took {what} nodes out, their wires joined"],
  [/^take out (.+)$/, "took {what} out, its wires joined"],
  [/^wires to (.+)$/, "wires moved to {what}"],
  [/^wire (.+)$/, "wired {what}"],
  [/^cut (\d+) wires$/, "cut {what} wires"],
  [/^insert (.+)$/, "put {what} into a wire"],
  [/^replace (.+)$/, "replaced {what}"],
  [/^rename to (.+)$/, "renamed to {what}"],
  [/^expose (.+)$/, "showed {what} outside"],
  [/^hide (.+)$/, "no longer shows {what} outside"],
  [/^a graph of its own for (.+)$/, "a graph of its own for {what}"],
  [/^(.+) as a node$/, "{what} as a node"],
  [/^(.+) typed in$/, "{what} typed in again"],
];

export function labelText(label: string): string {
  const fixed = FIXED[label];
  if (fixed) return t(fixed);
  for (const [pattern, text] of PATTERNS) {
    const what = pattern.exec(label)?.[1];
    if (what !== undefined) return t(text, { what });
  }
  return label;
}
