import { Fragment, type ReactNode } from "react";

/** Markdown as React elements: headings, lists, quotes, code, emphasis, links. Text is never read as HTML. */
export function Markdown({ text }: { text: string }) {
  return <div className="markdown">{blocks(text.replace(/\r\n?/g, "\n").split("\n"))}</div>;
}

const ITEM = /^\s*(?:[-*+]|(\d+)[.)])\s+(.*)$/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const FENCE = /^\s*```/;

function blocks(lines: string[]): ReactNode[] {
  const made: ReactNode[] = [];
  let at = 0;
  /** The lines from here on for which `mine` holds. */
  const take = (mine: (line: string) => boolean): string[] => {
    const start = at;
    while (at < lines.length && mine(lines[at] ?? "")) at++;
    return lines.slice(start, at);
  };
  while (at < lines.length) {
    const line = lines[at] ?? "";
    const key = at;
    const heading = HEADING.exec(line);
    if (!line.trim()) at++;
    else if (FENCE.test(line)) {
      at++;
      const code = take((next) => !FENCE.test(next));
      at++;
      made.push(<pre key={key}>{code.join("\n")}</pre>);
    } else if (heading) {
      at++;
      const Level = `h${Math.min(6, (heading[1] ?? "").length + 2)}` as "h3" | "h4" | "h5" | "h6";
      made.push(<Level key={key}>{inline(heading[2] ?? "")}</Level>);
    } else if (line.startsWith(">")) {
      const quoted = take((next) => next.startsWith(">")).map((next) => next.replace(/^>\s?/, ""));
      made.push(<blockquote key={key}>{blocks(quoted)}</blockquote>);
    } else if (ITEM.test(line)) {
      const items = take((next) => ITEM.test(next) || /^\s+\S/.test(next));
      const ordered = !!ITEM.exec(line)?.[1];
      const rows = items.reduce<string[]>((all, item) => {
        const found = ITEM.exec(item);
        if (found) all.push(found[2] ?? "");
        else all[all.length - 1] += ` ${item.trim()}`;
        return all;
      }, []);
      const list = rows.map((row, index) => <li key={index}>{inline(row)}</li>);
      made.push(ordered ? <ol key={key}>{list}</ol> : <ul key={key}>{list}</ul>);
    } else {
      const words = take((next) => !!next.trim() && !HEADING.test(next) && !ITEM.test(next) && !FENCE.test(next) && !next.startsWith(">"));
      made.push(
        <p key={key}>
          {words.map((next, index) => (
            <Fragment key={index}>
              {index ? <br /> : null}
              {inline(next)}
            </Fragment>
          ))}
        </p>,
      );
    }
  }
  return made;
}

const MARKS = /`([^`]+)`|\*\*(.+?)\*\*|\b__(.+?)__\b|\*([^*\s][^*]*)\*|(?<!\w)_([^_\s][^_]*)_(?!\w)|\[([^\]]+)\]\(([^)\s]+)\)|(https?:\/\/[^\s<>()]+)/;

function inline(text: string): ReactNode[] {
  const made: ReactNode[] = [];
  let rest = text;
  for (let found = MARKS.exec(rest); found; found = MARKS.exec(rest)) {
    if (found.index) made.push(rest.slice(0, found.index));
    const [whole, code, bold, bold2, slant, slant2, label, target, bare] = found;
    const key = made.length;
    if (code) made.push(<code key={key}>{code}</code>);
    else if (bold ?? bold2) made.push(<strong key={key}>{inline(bold ?? bold2 ?? "")}</strong>);
    else if (slant ?? slant2) made.push(<em key={key}>{inline(slant ?? slant2 ?? "")}</em>);
    else made.push(link(target ?? bare ?? "", label ?? bare ?? "", key));
    rest = rest.slice(found.index + whole.length);
  }
  if (rest) made.push(rest);
  return made;
}

/** Only addresses of pages are links; anything else (`javascript:`) stays the text it is. */
function link(target: string, label: string, key: number): ReactNode {
  if (!/^https?:\/\//i.test(target)) return `[${label}](${target})`;
  return (
    <a key={key} href={target} target="_blank" rel="noreferrer noopener">
      {label}
    </a>
  );
}
