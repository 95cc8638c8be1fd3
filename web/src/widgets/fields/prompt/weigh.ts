/** A part of a text that takes the place of another, and what is selected then. */
export interface Change {
  from: number;
  to: number;
  text: string;
  select: [number, number];
}

const WORD = /[\p{L}\p{N}_'’-]/u;
const WEIGHT = /^:\s*(-?(?:\d+\.?\d*|\.\d+))\s*\)/;
const LEAST = 0;
const MOST = 100;

/** Ctrl+Up and Ctrl+Down in a prompt: `word` becomes `(word:1.1)`, and 1 takes the brackets away again.
 *
 * Of a selection, else of the weighted words around the caret, else of the word under it. */
export function weigh(text: string, from: number, to: number, by: number): Change | null {
  let [start, end] = trimmed(text, from, to);
  if (start === end) {
    const around = group(text, start);
    if (around) [start, end] = around;
    else {
      while (start > 0 && WORD.test(text[start - 1] ?? "")) start--;
      while (end < text.length && WORD.test(text[end] ?? "")) end++;
    }
  } else {
    const whole = /^\(([^]*):\s*-?(?:\d+\.?\d*|\.\d+)\s*\)$/.exec(text.slice(start, end));
    if (whole && balanced(whole[1] ?? "")) [start, end] = [start + 1, start + 1 + (whole[1] ?? "").length];
  }
  if (start === end) return null;
  const before = text[start - 1] === "(" && text[start - 2] !== "\\";
  const after = WEIGHT.exec(text.slice(end));
  const plain = before && !after && text[end] === ")"; // `(word)` is 1.1 times as strong
  const weight = before && after ? Number(after[1]) : plain ? 1.1 : 1;
  const next = Math.min(MOST, Math.max(LEAST, Math.round((weight + by) * 100) / 100));
  const words = text.slice(start, end);
  const held = (before && after) || plain;
  const left = held ? start - 1 : start;
  const right = held ? end + (after?.[0].length ?? 1) : end;
  const made = next === 1 ? words : `(${words}:${next})`;
  const at = left + (next === 1 ? 0 : 1);
  return { from: left, to: right, text: made, select: [at, at + words.length] };
}

function trimmed(text: string, from: number, to: number): [number, number] {
  let [start, end] = [from, to];
  while (start < end && /\s/.test(text[start] ?? "")) start++;
  while (end > start && /\s/.test(text[end - 1] ?? "")) end--;
  return [start, end];
}

function balanced(text: string): boolean {
  let depth = 0;
  for (const sign of text) {
    depth += sign === "(" ? 1 : sign === ")" ? -1 : 0;
    if (depth < 0) return false;
  }
  return depth === 0;
}

/** The words of the innermost `(words:1.2)` or `(words)` around a place. */
function group(text: string, place: number): [number, number] | null {
  let depth = 0;
  for (let start = place - 1; start >= 0; start--) {
    if (text[start - 1] === "\\") continue;
    if (text[start] === ")") depth++;
    else if (text[start] === "(") {
      if (depth === 0) return closing(text, start, place);
      depth--;
    }
  }
  return null;
}

function closing(text: string, start: number, place: number): [number, number] | null {
  let depth = 0;
  for (let index = start + 1; index < text.length; index++) {
    if (text[index - 1] === "\\") continue;
    if (text[index] === "(") depth++;
    else if (text[index] === ")") {
      if (depth === 0) {
        if (index < place) return null;
        const inside = text.slice(start + 1, index);
        const number = /:\s*-?(?:\d+\.?\d*|\.\d+)\s*$/.exec(inside);
        return [start + 1, start + 1 + (number ? number.index : inside.length)];
      }
      depth--;
    }
  }
  return null;
}
