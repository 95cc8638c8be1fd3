import "./templates.css";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { api } from "../../protocol/http";
import type { Need, WorkflowRow } from "../../protocol/types";
import { failed } from "../../state/actions";
import { say, useUi } from "../../state/ui";
import { Dialog, Empty, IconButton } from "../../ui/basics";
import { copyText } from "../../ui/copy";
import { Icon } from "../../ui/icons";
import { plural, t, type Text } from "../../words";
import { openWorkflow } from "../workflows/open";
import { CHAPTERS, chapterOf, inOrder } from "./chapters";

const close = () => useUi.getState().set({ templates: false });
const missing = (row: WorkflowRow): Need[] => (row.needs ?? []).filter((need) => !need.there);

/** Workflows to begin with, large enough to choose by eye: chapters, search, what each needs. Yours stand first. */
export function Templates() {
  const [rows, setRows] = useState<WorkflowRow[] | null>(null);
  const [query, setQuery] = useState("");
  const [chapter, setChapter] = useState<Text | "">("");
  const [ready, setReady] = useState(false);
  const grid = useRef<HTMLDivElement>(null);
  useEffect(() => void api.workflows().then(setRows, failed), []);
  const all = rows ?? [];
  const placed = (row: WorkflowRow): Text => (row.origin === "yours" ? "Yours" : chapterOf(row.name));
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all
    .filter((row) => words.every((word) => `${row.title ?? ""} ${row.name} ${row.about ?? ""}`.toLowerCase().includes(word)))
    .filter((row) => !ready || !missing(row).length);
  const chapters: Text[] = ["Yours", ...CHAPTERS.map(([title]) => title), "More"];
  const groups = chapters
    .map((title): [Text, WorkflowRow[]] => [title, inOrder(found.filter((row) => placed(row) === title))])
    .filter(([title, list]) => list.length && (!chapter || chapter === title));
  const open = (row: WorkflowRow) => {
    close();
    useUi.getState().set({ gallery: false, sheet: null, ...(window.innerWidth <= 700 ? { panel: null } : {}) });
    void openWorkflow(row.name);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const cards = [...(grid.current?.querySelectorAll<HTMLElement>(".template > button") ?? [])];
    const here = cards.indexOf(document.activeElement as HTMLElement);
    const field = (event.target as HTMLElement).tagName === "INPUT";
    if (field && event.key === "Enter") {
      const [first] = groups[0]?.[1] ?? [];
      if (first && query) open(first);
      return;
    }
    if (field && event.key !== "ArrowDown") return;
    // Letters are meant for the search, wherever the focus is.
    if (!field && event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.currentTarget.querySelector<HTMLElement>("input[type=search]")?.focus();
      return;
    }
    const across = cards.filter((card) => card.offsetTop === cards[Math.max(0, here)]?.offsetTop).length || 1;
    const by: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: here < 0 ? 1 : across, ArrowUp: -across };
    const step = by[event.key];
    if (step === undefined) return;
    event.preventDefault();
    cards[Math.max(0, Math.min(cards.length - 1, here + step))]?.focus();
  };
  return (
    <Dialog label={t("Workflows and templates")} className="templates" onClose={close}>
      <div className="templates-body" onKeyDown={onKeyDown}>
        <header>
          <Icon name="search" />
          <input data-first type="search" aria-label={t("Search the workflows")} placeholder={t("What do you want to do?")} value={query} onChange={(event) => setQuery(event.target.value)} />
          <label className="ready">
            <input type="checkbox" checked={ready} onChange={(event) => setReady(event.target.checked)} /> {t("only what runs here")}
          </label>
          <IconButton icon="close" label={t("Close")} onClick={close} />
        </header>
        <nav aria-label={t("Chapters")}>
          <button type="button" aria-pressed={!chapter} onClick={() => setChapter("")}>
            {t("All")} <span>{found.length}</span>
          </button>
          {chapters.map((title) => {
            const count = found.filter((row) => placed(row) === title).length;
            return count ? (
              <button type="button" key={title} aria-pressed={chapter === title} onClick={() => setChapter(chapter === title ? "" : title)}>
                {t(title)} <span>{count}</span>
              </button>
            ) : null;
          })}
        </nav>
        <div className="cards" ref={grid} tabIndex={-1}>
          {groups.map(([title, list]) => (
            <section key={title} aria-label={t(title)}>
              <h3>{t(title)}</h3>
              <div className="grid">
                {list.map((row) => (
                  <Card key={row.name} row={row} onOpen={() => open(row)} />
                ))}
              </div>
            </section>
          ))}
          {rows && !groups.length ? <Empty>{t("None is called that.")}</Empty> : null}
        </div>
      </div>
    </Dialog>
  );
}

function Card({ row, onOpen }: { row: WorkflowRow; onOpen: () => void }) {
  const lacks = missing(row);
  return (
    <article className="template">
      <button type="button" onClick={onOpen} data-template={row.name}>
        <span className="look">{row.thumbnail ? <img src={`${row.thumbnail}?size=512`} alt="" loading="lazy" /> : <Icon name="nodes" size={36} />}</span>
        <b>{row.title || row.name}</b>
        <span className="words" title={row.about}>
          {row.about}
        </span>
      </button>
      {lacks.length ? (
        <details className="lacks">
          <summary>{plural(lacks.length, "needs a model that is not here", "needs {n} models that are not here")}</summary>
          <ul>
            {lacks.map((need) => (
              <li key={`${need.kind} ${need.name}`}>
                <b>{need.name}</b> <span>{need.kind.replaceAll("_", " ")}</span>
                {need.mend ? (
                  <p>
                    <code>{need.mend}</code>
                    <IconButton icon="copy" label={t("Copy the command")} onClick={() => void copyText(need.mend ?? "").then((done) => done && say(t("The command is in the clipboard.")))} />
                  </p>
                ) : null}
              </li>
            ))}
          </ul>
        </details>
      ) : null}
    </article>
  );
}
