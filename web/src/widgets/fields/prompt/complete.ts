/** What can be completed where the caret stands. */

export type Kind = "embedding" | "wildcard" | "lora" | "choice" | "word" | "break";

export interface Offer {
  kind: Kind;
  /** What the list shows. */
  label: string;
  /** What takes the place of the letters that were typed. */
  text: string;
  /** Of that text, what is selected then, to be typed over. */
  select?: [number, number];
}

export interface Asked {
  from: number;
  to: number;
  query: string;
  /** Asked for by a sign of its own (`__`, `embedding:`, `<lora:`, `{`): Enter takes the first offer. */
  sure: boolean;
  offers: Offer[];
}

export interface Vocabulary {
  names: Record<string, string[]>;
  words: string[];
}

const MOST = 40;
const rank = (query: string, name: string): number => {
  const at = name.toLowerCase().indexOf(query);
  if (at < 0) return 0;
  return at === 0 ? 3 : /[\s/_.-]/.test(name[at - 1] ?? "") ? 2 : 1;
};

function matching(query: string, names: string[]): string[] {
  const asked = query.toLowerCase();
  if (!asked) return names.slice(0, MOST);
  return names
    .map((name, order) => ({ name, order, rank: rank(asked, name) }))
    .filter((row) => row.rank > 0)
    .sort((a, b) => b.rank - a.rank || a.order - b.order)
    .slice(0, MOST)
    .map((row) => row.name);
}

const CHOICES: { label: string; text: string; select: [number, number] }[] = [
  { label: "{a|b}", text: "{a|b}", select: [1, 4] },
  { label: "{3::a|1::b}", text: "{3::a|1::b}", select: [4, 5] },
  { label: "{2$$a|b|c}", text: "{2$$a|b|c}", select: [4, 9] },
];

/** `loud`: asked for outright (Ctrl+Space), also where only one letter or none was typed. */
export function offersAt(text: string, caret: number, known: Vocabulary, loud = false): Asked | null {
  const before = text.slice(Math.max(0, caret - 200), caret);
  const make = (typed: string, sure: boolean, offers: Offer[]): Asked | null =>
    offers.length ? { from: caret - typed.length, to: caret, query: typed, sure, offers } : null;

  const lora = /<(?:l(?:o(?:r(?:a(?::([^:>\n]*))?)?)?)?)?$/i.exec(before);
  if (lora) {
    const found = matching(lora[1] ?? "", known.names.lora ?? []);
    return make(lora[0], true, found.map((name) => ({ kind: "lora", label: name, text: `<lora:${name}:1>` })));
  }
  const wildcard = /__([\w*?\-./]*)$/.exec(before);
  if (wildcard && !/__[\w*?\-./ ]+__$/.test(before)) {
    const tail = text.slice(caret).startsWith("__") ? "" : "__";
    const found = matching(wildcard[1] ?? "", known.names.wildcard ?? []);
    return make(wildcard[0], true, found.map((name) => ({ kind: "wildcard", label: name, text: `__${name}${tail}` })));
  }
  const embedding = /\bembedding:([\w+\-./]*)$/.exec(before);
  if (embedding) {
    const found = matching(embedding[1] ?? "", known.names.embedding ?? []);
    return make(embedding[0], true, found.map((name) => ({ kind: "embedding", label: name, text: `embedding:${name}` })));
  }
  if (/(?<!\\)\{$/.test(before) && known.names.wildcard) {
    const close = text.slice(caret).startsWith("}") ? 1 : 0;
    const offers = CHOICES.map((choice): Offer => ({ kind: "choice", ...choice, text: close ? choice.text.slice(0, -1) : choice.text }));
    return make("{", true, offers);
  }
  const word = /[\p{L}\p{N}][\p{L}\p{N}'’-]*(?: [\p{L}\p{N}'’-]+){0,2}$/u.exec(before)?.[0] ?? "";
  const least = loud ? 0 : 2;
  // The longest beginning of a phrase that is known: "red sph" before "sph".
  for (let typed = word; typed.length >= least; typed = typed.replace(/^\S+ ?/, "")) {
    const offers: Offer[] = matching(typed, known.words)
      .filter((phrase) => rank(typed.toLowerCase(), phrase) > 1 && phrase.toLowerCase() !== typed.toLowerCase())
      .map((phrase) => ({ kind: "word", label: phrase, text: phrase }));
    const single = !typed.includes(" ");
    if (single && typed) {
      const names = matching(typed, known.names.embedding ?? []).filter((name) => rank(typed.toLowerCase(), name) > 1);
      offers.unshift(...names.slice(0, 8).map((name): Offer => ({ kind: "embedding", label: name, text: `embedding:${name}` })));
      if ("BREAK".startsWith(typed) && typed !== "BREAK" && typed.length > 1) offers.unshift({ kind: "break", label: "BREAK", text: "BREAK" });
    }
    const asked = make(typed, false, offers.slice(0, MOST));
    if (asked) return asked;
    if (!typed) break;
  }
  return null;
}
