/** What one program writes between words and another leaves out: "CLIP Text Encode", "CLIPTextEncode". */
const JOINTS = /[\s._/()-]+/g;

/** How well `query` names `text`: 0 is not at all. Whole beginnings win over words, words over letters in order. */
export function score(query: string, text: string): number {
  const q = query.trim().toLowerCase();
  const t = text.toLowerCase();
  if (!q) return 1;
  if (t === q) return 100;
  if (t.startsWith(q)) return 90 - t.length / 100;
  const at = t.indexOf(q);
  if (at > 0) return (/[\s._/-]/.test(t[at - 1] ?? "") ? 75 : 55) - t.length / 100;
  const words = q.split(/\s+/);
  const [joined, inside] = [q.replace(JOINTS, ""), t.replace(JOINTS, "")];
  if (joined && inside.startsWith(joined)) return (inside === joined ? 95 : 80) - t.length / 100;
  if (words.length > 1 && words.every((word) => t.includes(word))) return 50 - t.length / 100;
  let from = 0;
  let gaps = 0;
  for (const letter of q) {
    const found = t.indexOf(letter, from);
    if (found < 0) return 0;
    gaps += found - from;
    from = found + 1;
  }
  return Math.max(1, 30 - gaps);
}

/** The best of several names of one thing, the first name counting most. */
export function best(query: string, names: string[]): number {
  return names.reduce((top, name, i) => Math.max(top, score(query, name) * (i === 0 ? 1 : 0.9)), 0);
}
