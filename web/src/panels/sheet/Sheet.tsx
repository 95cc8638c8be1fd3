import "./sheet.css";
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { api, blobUrl } from "../../protocol/http";
import type { Job, Json } from "../../protocol/types";
import { type Cell, gridOf, pictureOf } from "../../run/items";
import { failed } from "../../state/actions";
import { isOver, openSheet, shownValue, useSheets } from "../../state/sheets";
import { say, useUi } from "../../state/ui";
import { Empty, IconButton } from "../../ui/basics";
import { Icon } from "../../ui/icons";
import { saveSheet } from "./picture";
import { openGraph, takeValues } from "./results";
import { stateWord } from "../../run/state";
import { plural, t } from "../../words";

/** The results of a job with items: a labelled grid that fills while it runs; of a cull, a sheet to choose from. */
export function Sheet() {
  const job = useSheets((state) => state.job);
  return job ? <Filled key={job.id} job={job} /> : null;
}

function Filled({ job }: { job: Job }) {
  const chosen = useSheets((state) => state.chosen);
  const [current, setCurrent] = useState(0);
  const [size, setSize] = useState(168);
  const box = useRef<HTMLElement>(null);
  const items = useMemo(() => job.items ?? [], [job.items]);
  const culled = !!job.stop && Object.keys(job.stop).length > 0;
  const grid = useMemo(() => gridOf({ items, sweep: job.sweep }, culled), [items, job.sweep, culled]);
  const lines = useMemo(() => grid.pages.flatMap((page) => page.rows.map((row) => row.cells)), [grid]);
  const done = items.filter((one) => isOver(one.state)).length;
  const bad = items.filter((item) => item.state === "failed" || item.state === "cancelled" || item.state === "interrupted");
  const running = job.state === "running" || job.state === "queued";
  const item = items[current];
  const close = () => useUi.getState().set({ sheet: null });

  useEffect(() => {
    box.current?.focus({ preventScroll: true });
    // As large as the window lets the whole grid be, within reason.
    const area = box.current?.querySelector(".pages")?.getBoundingClientRect();
    const wide = Math.max(1, ...lines.map((line) => line.length));
    if (!area) return;
    const across = (area.width - (grid.columns.length ? 190 : 40)) / wide - 6;
    const down = (area.height - 60) / Math.max(1, Math.min(lines.length, 4)) - 6;
    setSize(Math.round(Math.max(88, Math.min(300, across, Math.max(140, down)))));
    // eslint-disable-next-line react-hooks/exhaustive-deps -- once, when it opens
  }, []);
  useEffect(() => {
    box.current?.querySelector(`[data-cell="${current}"]`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [current]);

  const view = (index: number) => {
    const shown = items.filter((one) => pictureOf(one));
    const pictures = shown.map((one) => ({ blob: pictureOf(one)?.blob, url: blobUrl(pictureOf(one)?.blob ?? ""), label: one.label || t("item {n}", { n: one.index + 1 }), job: job.id, item: one.index }));
    const at = shown.findIndex((one) => one.index === index);
    if (at >= 0) useUi.getState().set({ viewing: { pictures, at } });
  };
  const choose = (index: number) => useSheets.getState().choose(index);
  const finish = async () => {
    const wanted = [...chosen].sort((a, b) => a - b);
    if (!wanted.length) return say(t("choose the pictures to finish: click them, or press Space"));
    try {
      const made = await api.finish(job.id, wanted);
      await openSheet(made.id);
    } catch (error) {
      failed(error);
    }
  };
  const go = (by: number, down: number) => {
    const row = lines.findIndex((line) => line.some((cell) => cell.index === current));
    const column = lines[row]?.findIndex((cell) => cell.index === current) ?? 0;
    const next = lines[row + down]?.[column + by] ?? (by > 0 && !down ? lines[row + 1]?.[0] : by < 0 && !down ? lines[row - 1]?.at(-1) : lines[row + down]?.at(-1));
    if (next) setCurrent(next.index);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT)$/.test((event.target as HTMLElement).tagName)) return;
    const onControl = (event.target as HTMLElement).closest("header, footer") !== null;
    const keys: Record<string, () => void> = {
      ArrowLeft: () => go(-1, 0),
      ArrowRight: () => go(1, 0),
      ArrowUp: () => go(0, -1),
      ArrowDown: () => go(0, 1),
      Home: () => setCurrent(0),
      End: () => setCurrent(items.length - 1),
      " ": () => !onControl && choose(current),
      Enter: () => !onControl && view(current),
      Escape: close,
      a: () => useSheets.getState().chooseOnly(chosen.size === items.length ? [] : items.map((one) => one.index)),
      f: () => culled && void finish(),
      u: () => item && takeValues(item),
      g: () => item && void openGraph(job.id, item.index),
      "+": () => setSize((held) => Math.min(512, held * 1.2)),
      "-": () => setSize((held) => Math.max(64, held / 1.2)),
    };
    const found = keys[event.key];
    if (!found || (onControl && (event.key === " " || event.key === "Enter"))) return;
    event.preventDefault();
    event.stopPropagation();
    found();
  };

  return (
    <section className="sheet-view" aria-label={t("Results of {title}", { title: job.title || t("the job") })} tabIndex={-1} ref={box} onKeyDown={onKeyDown}>
      <header>
        <h2>
          {job.title || t("untitled")} <span>{culled ? t("cull") : job.sweep ? t("sweep") : t("batch")}</span>
        </h2>
        <span className="done" role="status" data-done={done}>
          {running ? t("{done} of {n}", { done, n: items.length }) : `${plural(items.length, "1 item", "{n} items")}${job.state === "succeeded" ? "" : `, ${stateWord(job.state)}`}`}
        </span>
        <span className="space" />
        {culled ? (
          <button type="button" className="run-button" disabled={!chosen.size} onClick={() => void finish()} title={t("Carry the chosen ones to the end; the steps that are done are not done again (F)")}>
            <Icon name="run" /> {chosen.size ? t("Finish {n}", { n: chosen.size }) : t("Choose what to finish")}
          </button>
        ) : null}
        {running ? (
          <button type="button" onClick={() => void api.cancel(job.id).catch(failed)}>
            {t("Stop")}
          </button>
        ) : null}
        {!running && bad.length ? (
          <button type="button" onClick={() => void api.retry(job.id).then((made) => openSheet(made.id), failed)}>
            {t("Run {n} again", { n: bad.length })}
          </button>
        ) : null}
        <button type="button" disabled={!done} onClick={() => void saveSheet(job, grid).catch(failed)}>
          {t("Save as one picture")}
        </button>
        <input type="range" aria-label={t("Size of the pictures")} min={64} max={512} value={size} onChange={(event) => setSize(Number(event.target.value))} />
        <IconButton icon="close" label={t("Close the sheet (Esc)")} onClick={close} />
      </header>
      <div className="pages" style={{ "--cell": `${size}px` } as React.CSSProperties}>
        {items.length ? null : <Empty>{t("This job has no items.")}</Empty>}
        {grid.pages.map((page, number) => (
          <div key={number} className="page">
            {page.title ? <h3>{page.title}</h3> : null}
            <table>
              {grid.columns.length ? (
                <thead>
                  <tr>
                    <th className="corner">
                      <span>{grid.across} →</span>
                      {grid.down ? <span>{grid.down} ↓</span> : null}
                    </th>
                    {grid.columns.map((title, index) => (
                      <th key={index} scope="col" title={title}>
                        {title}
                      </th>
                    ))}
                  </tr>
                </thead>
              ) : null}
              <tbody>
                {page.rows.map((row, index) => (
                  <tr key={index}>
                    {grid.columns.length ? (
                      <th scope="row" title={row.title}>
                        {row.title}
                      </th>
                    ) : null}
                    {row.cells.map((cell) => (
                      <td key={cell.index}>
                        <CellView
                          cell={cell}
                          named={!grid.columns.length}
                          current={cell.index === current}
                          chosen={chosen.has(cell.index)}
                          onPick={() => {
                            setCurrent(cell.index);
                            if (culled) choose(cell.index);
                          }}
                          onOpen={() => view(cell.index)}
                        />
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        ))}
      </div>
      {item ? (
        <footer>
          <span className="label" title={item.label}>
            {Object.entries(item.set)
              .map(([to, value]) => `${to} ${shownValue(value as Json)}`)
              .join(" · ") || item.label}
          </span>
          {item.error ? <span className="wrong">{item.error.message}</span> : null}
          <span className="space" />
          <button type="button" onClick={() => view(item.index)} disabled={!pictureOf(item)} title="↵">
            {t("Open large")}
          </button>
          <button type="button" onClick={() => takeValues(item)} title={t("Into the open graph; nothing runs (U)")}>
            {t("Use these values")}
          </button>
          <button type="button" onClick={() => void openGraph(job.id, item.index)} title="G">
            {t("Open its graph")}
          </button>
        </footer>
      ) : null}
    </section>
  );
}

function CellView(props: { cell: Cell; named: boolean; current: boolean; chosen: boolean; onPick: () => void; onOpen: () => void }) {
  const { item } = props.cell;
  const picture = pictureOf(item);
  const state = item?.state ?? "queued";
  return (
    <button
      type="button"
      className={`cell ${state} ${props.current ? "current" : ""} ${props.chosen ? "chosen" : ""}`}
      data-cell={props.cell.index}
      tabIndex={props.current ? 0 : -1}
      aria-pressed={props.chosen}
      aria-label={`${item?.label ?? ""}, ${stateWord(state)}${props.chosen ? `, ${t("chosen")}` : ""}`}
      onClick={props.onPick}
      onDoubleClick={props.onOpen}
    >
      {picture ? <img src={blobUrl(picture.blob, Math.max(picture.width, picture.height) > 512 ? 512 : undefined)} alt="" draggable={false} /> : null}
      {!picture && state === "running" ? (
        <span className="bar">
          <span style={{ width: `${(item?.fraction ?? 0) * 100}%` }} />
        </span>
      ) : null}
      {!picture && state !== "running" ? <span className="word">{item?.error?.message ?? (state === "succeeded" ? t("no picture") : stateWord(state))}</span> : null}
      {props.named && item?.label ? <span className="name">{item.label}</span> : null}
      {props.chosen ? <Icon name="check" size={18} /> : null}
    </button>
  );
}
