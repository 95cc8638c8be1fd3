/** Every word that the editor itself says, in the language of the person who reads it.
 *
 * The English text is the key. `de.ts` has each of them, so a text without a translation does not compile. What the
 * server says (problems, help, names of nodes) comes in the server's words. */

import type { de } from "./de";

export type Text = keyof typeof de;
export type Language = "en" | "de";
export type Values = Record<string, string | number>;

export const LANGUAGES: Record<Language, string> = { en: "English", de: "Deutsch" };

let table: Record<string, string> = {};
let language: Language = "en";

export const languageNow = (): Language => language;

/** From now on `t` speaks this language; its table is fetched when it is not English. */
export async function speak(wanted: Language): Promise<void> {
  table = wanted === "de" ? (await import("./de")).de : {};
  language = wanted;
}

/** The language that was chosen, or the first that the browser asks for and we have. */
export function wantedLanguage(chosen: string | null, asked: readonly string[]): Language {
  const known = (tag: string): tag is Language => tag in LANGUAGES;
  if (chosen && known(chosen)) return chosen;
  return asked.map((tag) => tag.slice(0, 2).toLowerCase()).find(known) ?? "en";
}

/** `t("{count} nodes", { count: 3 })`: the text in the language, its places filled. */
export function t(text: Text, values?: Values): string {
  return fill(table[text] ?? text, values);
}

/** One of something, or several: `plural(n, "1 node", "{n} nodes")`. */
export function plural(n: number, one: Text, many: Text, values?: Values): string {
  return t(n === 1 ? one : many, { n, ...values });
}

function fill(text: string, values: Values | undefined): string {
  if (!values) return text;
  return text.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}
