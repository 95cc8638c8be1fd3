import ts from "typescript";
import { afterEach, expect, test } from "vitest";
import { de } from "./de";
import { plural, speak, t, wantedLanguage } from "./index";

const sources: Record<string, string> = import.meta.glob(["../**/*.ts", "../**/*.tsx", "!../words/*", "!../**/*.test.ts"], {
  query: "?raw",
  import: "default",
  eager: true,
});
const pages = Object.keys(sources).filter((name) => name.endsWith(".tsx"));
const SPOKEN = new Set(["aria-label", "placeholder", "title", "alt", "label"]);
/** What says something to the person: its first argument is read. */
const TOLD = new Set(["say", "complain"]);
const WORD = /\p{L}{2,}/u;

/** Words that stand in the page without `t`: between tags, or in an attribute that is read. */
function bare(name: string): string[] {
  const source = ts.createSourceFile(name, sources[name] ?? "", ts.ScriptTarget.ESNext, true, name.endsWith("x") ? ts.ScriptKind.TSX : ts.ScriptKind.TS);
  const found: string[] = [];
  const words = (node: ts.Node): string | null => {
    if (ts.isStringLiteralLike(node)) return node.text;
    if (ts.isTemplateExpression(node)) return [node.head.text, ...node.templateSpans.map((span) => span.literal.text)].join(" ");
    return null;
  };
  /** Text that is passed on as it is, also one of two. */
  const told = (node: ts.Expression): void => {
    const text = words(node);
    if (text && WORD.test(text)) found.push(text);
    if (ts.isConditionalExpression(node)) [node.whenTrue, node.whenFalse].forEach(told);
    if (ts.isParenthesizedExpression(node)) told(node.expression);
  };
  const inMenu = (node: ts.PropertyAssignment): boolean => node.parent.properties.some((other) => other.name?.getText(source) === "run");
  const visit = (node: ts.Node): void => {
    if (ts.isJsxText(node) && WORD.test(node.text)) found.push(node.text.trim());
    if (ts.isJsxAttribute(node) && SPOKEN.has(node.name.getText(source)) && node.initializer) {
      const value = ts.isJsxExpression(node.initializer) ? node.initializer.expression : node.initializer;
      const text = value && words(value);
      if (text && WORD.test(text)) found.push(text);
    }
    if (ts.isCallExpression(node) && TOLD.has(node.expression.getText(source)) && node.arguments[0]) told(node.arguments[0]);
    if (ts.isPropertyAssignment(node) && node.name.getText(source) === "label" && inMenu(node)) told(node.initializer);
    if (ts.isJsxExpression(node) && node.expression && !ts.isJsxAttribute(node.parent)) {
      told(node.expression);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found.map((text) => `${name}: ${text}`);
}

test("every word on the page goes through t()", () => {
  expect(pages.length).toBeGreaterThan(20);
  expect(Object.keys(sources).flatMap(bare)).toEqual([]);
}, 60_000);

test("a translation has the same places to fill as its text", () => {
  const places = (text: string) => [...text.matchAll(/\{\w+\}/g)].map((found) => found[0]).sort();
  for (const [text, german] of Object.entries(de)) {
    expect(places(german), text).toEqual(places(text));
    expect(german.trim(), text).not.toBe("");
  }
});

test("no translation is kept of what is no longer said", () => {
  const said = Object.values(sources).join("\n");
  const quoted = (text: string) => [`"${text}"`, JSON.stringify(text), `${text}:`].some((form) => said.includes(form));
  expect(Object.keys(de).filter((text) => !quoted(text))).toEqual([]);
});

afterEach(() => speak("en"));

test("a text is said in the language that was chosen, its places filled", async () => {
  expect([t("Note"), plural(1, "1 node", "{n} nodes"), plural(3, "1 node", "{n} nodes")]).toEqual(["Note", "1 node", "3 nodes"]);
  await speak("de");
  expect([t("Note"), plural(3, "1 node", "{n} nodes"), t("What takes {type}?", { type: "Image" })]).toEqual(["Notiz", "3 Knoten", "Was nimmt Image?"]);
});

test("the language is the chosen one, else the first that is asked for and known", () => {
  expect(wantedLanguage("de", ["en"])).toBe("de");
  expect(wantedLanguage(null, ["fr-FR", "de-AT", "en"])).toBe("de");
  expect(wantedLanguage("xx", ["fr"])).toBe("en");
});
