import { countOf } from "../run/items";
import { duration } from "../run/state";
import { failed, interrupt, run } from "../state/actions";
import { useRun } from "../state/run";
import { openSheet } from "../state/sheets";
import { useUi } from "../state/ui";
import { Icon } from "../ui/icons";
import { t, type Text } from "../words";
import { Forecast } from "./forecast/Forecast";
import { SharingChip } from "./sweep/Sharing";

/** Run, what it will cost, how far it is, what waits. */
export function RunBar() {
  const plan = useRun((state) => state.plan);
  const held = useRun((state) => state.run);
  const queue = useRun((state) => state.queue);
  const connected = useRun((state) => state.connected);
  const server = useRun((state) => state.server);
  const running = held.state === "running";
  const open = queue.filter((job) => job.state === "queued" || job.state === "running").length;
  const problems = plan?.problems.length ?? 0;
  const advice = plan?.lints.length ?? 0;
  const share = progress(held);
  const count = useUi((state) => state.count);
  const live = useUi((state) => state.live);
  return (
    <footer className="run-bar">
      <div className="run-progress" aria-hidden="true">
        <span style={{ width: running ? `${share * 100}%` : 0 }} />
      </div>
      <button type="button" className="run-button" onClick={() => void run()} title={t("Run (Ctrl+Enter)")} data-action="run">
        <Icon name="run" /> {t("Run")}
      </button>
      <label className="count" title={t("How many pictures a run makes, each of a seed of its own")}>
        ×
        <input
          type="number"
          min={1}
          max={1000}
          value={count}
          aria-label={t("How many pictures")}
          onChange={(event) => useUi.getState().set({ count: Math.max(1, Math.min(1000, Math.round(Number(event.target.value)) || 1)) })}
          onFocus={(event) => event.target.select()}
        />
      </label>
      <button
        type="button"
        className="chip live"
        aria-pressed={live}
        title={t("Run by itself after every edit; the run of the edit before is cancelled")}
        onClick={() => useUi.getState().set({ live: !live })}
      >
        {t("live")}
      </button>
      {count > 1 ? <SharingChip count={count} /> : null}
      {running ? (
        <button type="button" className="stop" onClick={() => void interrupt()} title={t("Stop (Ctrl+Alt+Enter)")}>
          <Icon name="stop" /> {t("Stop")}
        </button>
      ) : null}
      <Forecast plan={plan} line={running ? runningLine(held) : undefined} />
      {problems ? (
        <button type="button" className="chip wrong" onClick={() => useUi.getState().togglePanel("problems")}>
          <Icon name="problems" size={14} /> {problems}
        </button>
      ) : null}
      {advice ? (
        <button type="button" className="chip" onClick={() => useUi.getState().togglePanel("problems")}>
          {t("advice {n}", { n: advice })}
        </button>
      ) : null}
      {held.items && held.job ? (
        <button type="button" className="chip" data-action="sheet" onClick={() => void openSheet(held.job ?? "").catch(failed)}>
          <Icon name="grid" size={14} /> {t("Sheet")}
        </button>
      ) : null}
      <span className="space" />
      {!running && held.state ? <span className={`last ${held.state}`}>{lastLine(held)}</span> : null}
      {open > 0 ? (
        <button type="button" className="chip" onClick={() => useUi.getState().togglePanel("queue")}>
          <Icon name="queue" size={14} /> <span className="queued">{t("{n} in the queue", { n: open })}</span>
          <span className="only-count" aria-hidden="true">{open}</span>
        </button>
      ) : null}
      <span className={`line ${connected ? "" : "off"}`} title={connected ? t("connected") : t("the server does not answer; trying again")}>
        {connected ? (server ? `${server.numerics.device} · ${server.numerics.dtype}` : "") : t("reconnecting…")}
      </span>
    </footer>
  );
}

type Run = ReturnType<typeof useRun.getState>["run"];

/** How far the job is: its items, and of the one under way its steps. */
export function progress(held: Run): number {
  const count = itemsOf(held);
  return count ? Math.min(1, ((held.items?.over ?? 0) + (held.state === "running" ? stepsDone(held) : 0)) / count) : stepsDone(held);
}

/** How many items the job has; 0 for a plain one. */
function itemsOf(held: Run): number {
  const job = useRun.getState().queue.find((item) => item.id === held.job);
  return job ? countOf(job) : 0;
}

/** Steps done, the one under way counted by its own progress. */
function stepsDone(held: Run): number {
  const total = held.planned ? held.planned.run + held.planned.maybe : 0;
  if (!total) return 0;
  const part = Object.values(held.nodes).reduce(
    (sum, node) => sum + (node.phase === "running" && node.total ? node.done / node.total : 0),
    0,
  );
  return Math.min(1, (held.finishedSteps + Math.min(1, part)) / total);
}

function runningLine(held: Run): string {
  const total = held.planned ? held.planned.run + held.planned.maybe : 0;
  const left = Object.values(held.nodes).find((node) => node.phase === "running" && node.left)?.left;
  const now = Object.entries(held.nodes).find(([path, node]) => node.phase === "running" && !/[/[]/.test(path))?.[0];
  const count = itemsOf(held);
  const items = count ? t("{done} of {all} items", { done: held.items?.over ?? 0, all: count }) : "";
  return [items, total ? t("{done} of {all} nodes", { done: held.finishedSteps, all: total }) : t("starting"), now, left ? t("{time} left", { time: duration(left) }) : ""].filter(Boolean).join(" · ");
}

const ENDS: Record<string, Text> = {
  succeeded: "done",
  partial: "partly done",
  failed: "failed",
  cancelled: "cancelled",
  interrupted: "interrupted",
};

function lastLine(held: Run): string {
  const word = t(ENDS[held.state ?? ""] ?? "done");
  return held.seconds === null ? word : t("{state} in {time}", { state: word, time: duration(held.seconds) });
}
