import { expect, test } from "vitest";
import { CHAPTERS, chapterOf, inOrder } from "./chapters";

const files = Object.keys(import.meta.glob("../../../../workflows/*.json")).map((path) => path.replace(/^.*\/(.*)\.json$/, "$1"));

test("every workflow that ships stands in one chapter, and no chapter names one that is gone", () => {
  expect(files.length).toBeGreaterThan(30);
  const named = CHAPTERS.flatMap(([, names]) => names);
  expect([...named].sort()).toEqual([...files].sort());
});

test("those to begin with come first, and one of the user's own is of no chapter", () => {
  expect(inOrder([{ name: "template:xy_plot" }, { name: "template:new_one" }, { name: "template:text_to_image" }]).map((row) => row.name)).toEqual([
    "template:text_to_image",
    "template:xy_plot",
    "template:new_one",
  ]);
  expect(chapterOf("template:inpaint")).toBe("To begin with");
  expect(chapterOf("inpaint")).toBe("More");
});
