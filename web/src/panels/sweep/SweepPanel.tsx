import "./sweep.css";
import { useEffect, useMemo, useState } from "react";
import { isChoice } from "../../canvas/geometry";
import { api, ApiError } from "../../protocol/http";
import type { Forecast, Json, SweepJson } from "../../protocol/types";
import { isTexts, MOST_ITEMS, suggestion, swapsOf, tellApart, type Values, valuesOf } from "../../run/items";
import { duration } from "../../run/state";
import { outgoing, run, sharingNow } from "../../state/actions";
import { useCatalogue } from "../../state/catalogue";
import { documentOf, useDocument } from "../../state/document";
import { type AxisDraft, openSheet, useSheets } from "../../state/sheets";
import { Empty, IconButton } from "../../ui/basics";
import { Icon } from "../../ui/icons";
import { useUi } from "../../state/ui";
import { Sharing } from "./Sharing";
import { type Sweepable, sweepable } from "../../document/inputs";
import { plural, t, type Text } from "../../words";

const NAMES: Text[] = ["Columns", "Rows", "Pages"];

type Choices = (string | number)[];

/** The choices of an input; those that only the server knows are fetched. */
function useChoices(item: Sweepable | undefined): Choices {
  const [live, setLive] = useState<Record<string, Choices>>({});
  const type = item?.input.type;
  const fixed = typeof type === "object" ? type.choices : undefined;
  const asked = item && !fixed && isChoice(item.input) ? `${item.type} ${item.input.name}` : "";
  useEffect(() => {
    if (!asked) return;
    const [node, input] = asked.split(" ") as [string, string];
    let gone = false;
    api.choices(node, input).then(
      (found) => !gone && setLive((held) => ({ ...held, [asked]: found.choices })),
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, [asked]);
  return useMemo(() => fixed ?? live[asked] ?? [], [fixed, live, asked]);
}

const read = (axis: AxisDraft, item: Sweepable | undefined, choices: Choices): Values => {
  if (!item) return { values: [], problem: t("this input is not there any more") };
  if (axis.mode === "words") return swapsOf(String(item.value ?? ""), axis.text);
  return valuesOf(axis.text, item.input, choices);
};

/** The axes of a sweep, what it will cost, and Run. */
export function SweepPanel() {
  const axes = useSheets((state) => state.axes);
  const document = useDocument(documentOf);
  const specs = useCatalogue((state) => state.specs);
  const inputs = useMemo(() => sweepable(document, specs), [document, specs]);
  const items = axes.map((axis) => inputs.find((input) => input.to === axis.to));
  // A hook for each of the three axes there can be.
  const choices = [useChoices(items[0]), useChoices(items[1]), useChoices(items[2])];
  const found = axes.map((axis, index) => read(axis, items[index], choices[index] ?? []));
  const counts = found.map((values) => values.values.length);
  const count = counts.reduce((product, number) => product * number, axes.length ? 1 : 0);
  const wrong = found.some((values) => values.problem) || count > MOST_ITEMS;
  // The server's last axis runs fastest: what is first here goes across.
  const sweep: SweepJson | null =
    count && !wrong
      ? { axes: axes.map((axis, index) => ({ to: [axis.to], values: found[index]?.values ?? [], label: items[index]?.title ?? axis.to })).reverse() }
      : null;
  const text = sweep ? JSON.stringify(sweep) : "";
  const { forecast, problem } = useForecast(text);
  const change = (index: number, patch: Partial<AxisDraft>) =>
    useSheets.getState().setAxes(axes.map((axis, i) => (i === index ? { ...axis, ...patch } : axis)));
  const add = (to: string) => {
    const item = inputs.find((input) => input.to === to);
    if (item) useSheets.getState().setAxes([...axes, { to, text: suggestion(item.input, item.value, fixedChoices(item)), mode: "values" }]);
  };
  const start = async () => {
    if (!sweep) return;
    const job = await run({ sweep });
    if (job) await openSheet(job.id);
  };
  const free = inputs.filter((input) => !axes.some((axis) => axis.to === input.to));
  return (
    <div className="sweep">
      {axes.length ? null : <Empty>{t("Try several values at once and see them side by side. Choose an input here, or press the right button over any field and take “Sweep”.")}</Empty>}
      {axes.map((axis, index) => {
        const item = items[index];
        const values = found[index] as Values;
        return (
          <section className="axis" key={axis.to} aria-label={`${t(NAMES[index] ?? "Pages")}: ${item?.title ?? axis.to}`}>
            <header>
              <span className="which">{t(NAMES[index] ?? "Pages")}</span>
              <b>{item?.title ?? axis.to}</b>
              {index ? (
                <IconButton icon="up" label={t("Change places with the axis above")} onClick={() => useSheets.getState().setAxes(swapped(axes, index))} />
              ) : null}
              <IconButton icon="close" label={t("Take this axis out")} onClick={() => useSheets.getState().setAxes(axes.filter((_, i) => i !== index))} />
            </header>
            {item && isTexts(item.input) ? (
              <div className="modes" role="group" aria-label={t("How the texts are written")}>
                <button type="button" aria-pressed={axis.mode === "values"} onClick={() => change(index, { mode: "values", text: String(item.value ?? "") })}>
                  {t("a text a line")}
                </button>
                <button type="button" aria-pressed={axis.mode === "words"} onClick={() => change(index, { mode: "words", text: firstWord(String(item.value ?? "")) })}>
                  {t("swap words")}
                </button>
              </div>
            ) : null}
            <textarea
              aria-label={t("Values of {input}", { input: item?.title ?? axis.to })}
              rows={item && isTexts(item.input) && axis.mode === "values" ? 4 : 2}
              value={axis.text}
              spellCheck={false}
              placeholder={axis.mode === "words" ? t("red, blue, dark green") : t("1, 2, 8 or 1..9 step 2 or 0..1 x5")}
              onChange={(event) => change(index, { text: event.target.value })}
              onKeyDown={(event) => {
                if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
                  event.preventDefault();
                  event.stopPropagation();
                  void start();
                }
              }}
            />
            {values.problem ? <p className="wrong">{values.problem}</p> : <p className="values">{summary(values.values)}</p>}
          </section>
        );
      })}
      {axes.length < 3 ? (
        <select className="add-axis" aria-label={t("Add an axis")} value="" onChange={(event) => add(event.target.value)}>
          <option value="">{axes.length ? t("+ another axis…") : t("+ choose what to vary…")}</option>
          {free.map((input) => (
            <option key={input.to} value={input.to}>
              {input.title}
            </option>
          ))}
        </select>
      ) : null}
      {axes.length ? (
        <footer>
          <p className="cost" role="status" data-cost>
            {count > MOST_ITEMS ? t("{count} items: at most {most}", { count, most: MOST_ITEMS }) : wrong ? "" : problem || costLine(counts, forecast)}
          </p>
          <Sharing forecast={forecast} />
          <button type="button" className="run-button" disabled={!sweep || !!problem} onClick={() => void start()} data-action="sweep">
            <Icon name="run" /> {t("Run the sweep")}
          </button>
        </footer>
      ) : null}
    </div>
  );
}

const fixedChoices = (item: Sweepable): Choices => (typeof item.input.type === "object" ? (item.input.type.choices ?? []) : []);
const firstWord = (text: string): string => `${text.split(/[\s,]+/).find((word) => word.length > 2) ?? text}, `;

function swapped(axes: AxisDraft[], index: number): AxisDraft[] {
  const made = [...axes];
  [made[index - 1], made[index]] = [axes[index] as AxisDraft, axes[index - 1] as AxisDraft];
  return made;
}

function summary(values: Json[]): string {
  const names = tellApart(values);
  const few = names.slice(0, 8).join(" · ");
  return `${values.length}: ${few}${names.length > 8 ? " …" : ""}`;
}

/** "3 × 4 = 12 items, 84 of 240 steps, ≈ 20 s". */
export function costLine(counts: number[], forecast: Forecast | null): string {
  const shape = counts.length > 1 ? `${counts.join(" × ")} = ` : "";
  const total = counts.reduce((product, number) => product * number, 1);
  const items = shape + plural(total, "1 item", "{n} items");
  if (!forecast) return `${items}, ${t("counting…")}`;
  if (!forecast.run) return `${items}: ${t("all of them are there already")}`;
  const steps = forecast.steps ? `, ${t("{todo} of {n} steps", { todo: forecast.todo, n: forecast.steps })}` : `, ${t("{todo} of {n} nodes", { todo: forecast.run, n: forecast.nodes })}`;
  const time = forecast.seconds === null || forecast.seconds === undefined ? "" : `, ≈ ${duration(forecast.seconds)}`;
  return `${items}${steps}${time}`;
}

/** What it would cost, asked anew whenever the axes or the graph change. */
export function useForecast(sweep: string, kind: "sweep" | "items" = "sweep"): { forecast: Forecast | null; problem: string } {
  const document = useDocument(documentOf);
  const sharing = useUi((state) => state.sharing);
  const [held, setHeld] = useState<{ of: string; forecast: Forecast | null; problem: string }>({ of: "", forecast: null, problem: "" });
  useEffect(() => {
    if (!sweep) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      const request = JSON.parse(sweep) as Record<string, never>;
      const items = kind === "sweep" ? { sweep: request as unknown as SweepJson } : request;
      api.forecast(outgoing(), { ...items, ...sharingNow() }, stop.signal).then(
        (forecast) => setHeld({ of: sweep, forecast, problem: forecast.problems[0]?.message ?? "" }),
        (error: unknown) => {
          if (error instanceof ApiError) setHeld({ of: sweep, forecast: null, problem: error.message });
        },
      );
    }, 150);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [sweep, kind, document, sharing]);
  return held.of === sweep ? held : { forecast: null, problem: "" };
}
