/** Ctrl+Up and Ctrl+Down in a prompt: `word` becomes `(word:1.1)`, and 1 takes the brackets away again. */
export function weigh(text: string, from: number, to: number, by: number): { text: string; from: number; to: number } | null {
  let [start, end] = [from, to];
  if (start === end) {
    while (start > 0 && /[\p{L}\p{N}_'-]/u.test(text[start - 1] ?? "")) start--;
    while (end < text.length && /[\p{L}\p{N}_'-]/u.test(text[end] ?? "")) end++;
  }
  if (start === end) return null;
  const before = /\($/.exec(text.slice(0, start));
  const after = /^:(-?\d+(?:\.\d+)?)\)/.exec(text.slice(end));
  const weight = before && after ? Number(after[1]) : 1;
  const next = Math.round((weight + by) * 100) / 100;
  const words = text.slice(start, end);
  const left = before && after ? start - 1 : start;
  const right = before && after ? end + after[0].length : end;
  const made = next === 1 ? words : `(${words}:${next})`;
  const at = left + (next === 1 ? 0 : 1);
  return { text: text.slice(0, left) + made + text.slice(right), from: at, to: at + words.length };
}
