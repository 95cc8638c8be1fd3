/** What the signs of a prompt mean, as the encoders read them (docs/prompts.md): for marking, never for running. */

export type Mark = "weight" | "number" | "break" | "choice" | "wildcard" | "comment" | "name" | "lora" | "bad";

export interface Span {
  from: number;
  to: number;
  mark: Mark | null;
}

export type Dialect = "comfy" | "a1111" | "plain";

const COMMENT = /\/\*[^]*?\*\/|(?<=\s|^)\/\/[^\n]*|^[ \t]*#[^\n]*/gm;
const WILDCARD = /__[\w*?-][\w*?\-./ ]*?__/y;
const NAME = /embedding:[\w+-]+(?:[./][\w+-]+)*/y;
const LORA = /<(?:lora|lyco|hypernet):[^>\n]*>?/y;
const BREAK = /BREAK\b/y;
const NUMBER = /:\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*(?=\))/y;
const MANY = /\d+(?:-\d+)?\$\$(?:[^|{}$]*\$\$)?/y;
const ODDS = /\s*(?:\d+(?:\.\d*)?|\.\d+)::/y;
const CLOSES: Record<string, string> = { ")": "(", "]": "[", "}": "{" };

/** The marks of every place of a text, one letter wide where need be, in order and without gaps. */
export function spans(text: string, dialect: Dialect = "comfy"): Span[] {
  const marks = new Array<Mark | null>(text.length).fill(null);
  const put = (from: number, to: number, mark: Mark) => marks.fill(mark, from, to);
  if (dialect !== "plain") {
    for (const found of text.matchAll(COMMENT)) put(found.index, found.index + found[0].length, "comment");
    const open: Record<string, number[]> = { "(": [], "[": [], "{": [] };
    const at = (pattern: RegExp, index: number): number => {
      pattern.lastIndex = index;
      return pattern.exec(text)?.[0].length ?? 0;
    };
    for (let index = 0; index < text.length; ) {
      const sign = text[index] ?? "";
      if (marks[index] === "comment") index++;
      else if (sign === "\\" && /[()[\]{}|<>\\]/.test(text[index + 1] ?? "")) index += 2;
      else if (sign in open) {
        open[sign]?.push(index++);
        const inside = sign === "{" ? at(MANY, index) : 0;
        if (inside) put(index, index + inside, "choice");
        index += inside;
        const odds = sign === "{" ? at(ODDS, index) : 0;
        if (odds) put(index, index + odds, "choice");
        index += odds;
      } else if (sign in CLOSES) {
        const kind = CLOSES[sign] ?? "";
        const start = open[kind]?.pop();
        const mark = kind === "{" ? "choice" : "weight";
        if (start === undefined) {
          if (kind !== "[" || dialect === "a1111") put(index, index + 1, "bad");
        } else if (kind !== "[" || dialect === "a1111") {
          put(start, start + 1, mark);
          put(index, index + 1, mark);
        }
        index++;
      } else {
        const wide = (pattern: RegExp, mark: Mark): boolean => {
          const length = at(pattern, index);
          if (length) put(index, index + length, mark);
          index += length;
          return length > 0;
        };
        const word = index === 0 || !/\w/.test(text[index - 1] ?? "");
        if (sign === "|" && open["{"]?.length) {
          put(index, ++index, "choice");
          const odds = at(ODDS, index);
          if (odds) put(index, index + odds, "choice");
          index += odds;
        } else if (
          !(sign === "_" && wide(WILDCARD, "wildcard")) &&
          !(sign === "<" && wide(LORA, "lora")) &&
          !(sign === ":" && open["("]?.length && wide(NUMBER, "number")) &&
          !(word && sign === "e" && wide(NAME, "name")) &&
          !(word && sign === "B" && wide(BREAK, "break"))
        ) index++;
      }
    }
    for (const [kind, left] of Object.entries(open)) {
      if (kind !== "[" || dialect === "a1111") for (const index of left) put(index, index + 1, "bad");
    }
  }
  const found: Span[] = [];
  for (let index = 0; index < text.length; index++) {
    const last = found.at(-1);
    const mark = marks[index] ?? null;
    if (last && last.mark === mark && mark !== "bad") last.to = index + 1;
    else found.push({ from: index, to: index + 1, mark });
  }
  return found;
}
