import { isValidElement, type ReactElement, type ReactNode } from "react";
import { expect, test } from "vitest";
import { Markdown } from "./markdown";

/** The elements as one line: `p[plain strong[bold]]`. */
function drawn(node: ReactNode): string {
  if (Array.isArray(node)) return node.map(drawn).filter(Boolean).join(" ");
  if (typeof node === "string") return node;
  if (!isValidElement(node)) return "";
  const element = node as ReactElement<{ children?: ReactNode; href?: string; text?: string }>;
  if (typeof element.type === "function") return drawn((element.type as (props: unknown) => ReactNode)(element.props));
  const inner = drawn(element.props.children);
  if (typeof element.type !== "string") return inner;
  return `${element.type}${element.props.href ? `(${element.props.href})` : ""}[${inner}]`;
}
const md = (text: string): string => drawn(Markdown({ text })).replace(/^div\[(.*)\]$/s, "$1");

test("headings, lists, emphasis and code become elements", () => {
  expect(md("# Title\n\nplain **bold** and *slanted* `code`")).toBe("h3[Title] p[plain  strong[bold]  and  em[slanted]   code[code]]");
  expect(md("- one\n- two\n  goes on")).toBe("ul[li[one] li[two goes on]]");
  expect(md("1. one\n2. two")).toBe("ol[li[one] li[two]]");
  expect(md("```\n<b>x</b>\n```\nafter")).toBe("pre[<b>x</b>] p[after]");
  expect(md("> said\n> so")).toBe("blockquote[p[said br[] so]]");
});

test("markup stays text, and only addresses of pages become links", () => {
  expect(md("<img src=x onerror=alert(1)>")).toBe("p[<img src=x onerror=alert(1)>]");
  expect(md("[a](https://example.org/x) https://example.org")).toBe("p[a(https://example.org/x)[a]   a(https://example.org)[https://example.org]]");
  expect(md("[a](javascript:alert)")).toBe("p[[a](javascript:alert)]");
  expect(md("[a](data:text/html,x)")).toBe("p[[a](data:text/html,x)]");
});

test("what does not end, ends: open fences and lone marks are text", () => {
  expect(md("```\nopen")).toBe("pre[open]");
  expect(md("2 * 3 * 4 and snake_case_name")).toBe("p[2 * 3 * 4 and snake_case_name]");
  expect(md("")).toBe("");
});
