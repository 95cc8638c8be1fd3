import { expect, test } from "vitest";
import page from "../../../docs/editing.md?raw";
import { COMMANDS, keysOf } from "./commands";

const press = (key: string, more: Partial<Parameters<typeof keysOf>[0]> = {}) =>
  keysOf({ key, ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, ...more });

test("keys are written as the table writes them, Cmd as Ctrl, whatever the layout makes of Alt", () => {
  expect(press("Enter", { ctrlKey: true, shiftKey: true })).toBe("Ctrl+Shift+Enter");
  expect(press("z", { metaKey: true })).toBe("Ctrl+Z");
  expect(press("Z", { ctrlKey: true, shiftKey: true })).toBe("Ctrl+Shift+Z");
  expect(press("?", { shiftKey: true })).toBe("?");
  expect(press("ç", { altKey: true, code: "KeyC" })).toBe("Alt+C");
  expect(press(" ")).toBe("Space");
  expect(press("Enter", { ctrlKey: true, altKey: true })).toBe("Ctrl+Alt+Enter");
  expect(press("M", { altKey: true, shiftKey: true, code: "KeyM" })).toBe("Alt+Shift+M");
});

test("no two commands have the same keys or the same name", () => {
  const keys = COMMANDS.flatMap((row) => (row.shown ? [row.shown] : (row.keys ?? [])));
  expect(new Set(keys).size).toBe(keys.length);
  expect(new Set(COMMANDS.map((row) => row.id)).size).toBe(COMMANDS.length);
});

test("every key stands on the page about editing", () => {
  const known = (keys: string) => page.includes(`\`${keys}\``);
  expect(COMMANDS.flatMap((row) => (row.shown ? [row.shown] : (row.keys ?? []))).filter((keys) => !known(keys) && keys !== "?")).toEqual([]);
});
