/** The run as the editor shows it: a pure function of the plan and the diary's events. */

import { plural, t, type Text } from "../words";
import type { EventOf, Job, JobState, Picture, Plan, PlanStep, Problem, WireEvent } from "../protocol/types";

export type Phase = "idle" | "waiting" | "running" | "done" | "hit" | "failed" | "blocked" | "cancelled";

export interface NodeRun {
  phase: Phase;
  done: number;
  total: number;
  left?: number | null;
  text?: string;
  seconds?: number;
  peak?: number | null;
  problem?: Problem;
  files?: string[];
}

export interface RunState {
  /** Of the job that is shown: the running one, or the last. */
  job: string | null;
  state: JobState | null;
  nodes: Record<string, NodeRun>;
  planned: { hit: number; run: number; maybe: number; seconds: number | null } | null;
  startedSteps: number;
  finishedSteps: number;
  seconds: number | null;
  problems: Problem[];
  /** The pictures of each node's latest result, whichever job made them, or of what it is known to give. */
  pictures: Record<string, Picture[]>;
  /** Which output those pictures are of, for what this job has shown. */
  shown: Record<string, string>;
  files: string[];
  /** The seeds that the job that is shown has drawn, by `node.input`. */
  drawn: Record<string, number | string>;
  /** Of a job with items: how many are over. */
  items: { over: number } | null;
}

export const START: RunState = {
  job: null,
  state: null,
  nodes: {},
  planned: null,
  startedSteps: 0,
  finishedSteps: 0,
  seconds: null,
  problems: [],
  pictures: {},
  shown: {},
  files: [],
  drawn: {},
  items: null,
};

const FRESH: NodeRun = { phase: "idle", done: 0, total: 0 };

/** A step inside an instance, map or fold (`hires/denoise`, `each/2/sample`) is shown on the outermost node too. */
export function outer(path: string): string {
  const cut = path.search(/[/[]/);
  return cut < 0 ? path : path.slice(0, cut);
}

export function reduce(state: RunState, event: WireEvent): RunState {
  if (!("job" in event)) return state;
  if (event.event === "job_started") {
    return { ...START, pictures: state.pictures, job: event.job, state: "running", drawn: event.drawn };
  }
  if (event.event === "step_pictures") {
    const pictures: Picture[] = event.pictures;
    const held = state.shown[event.path];
    // A node with several picture outputs shows its first; a mask is not what one looks for.
    if (!pictures.length || (held !== undefined && held !== event.output && held !== "mask")) return state;
    const changed = { ...state.pictures, [event.path]: pictures };
    if (outer(event.path) !== event.path) changed[outer(event.path)] = pictures;
    return { ...state, pictures: changed, shown: { ...state.shown, [event.path]: event.output } };
  }
  if (event.job !== state.job) return state;
  const path = "path" in event ? event.path : null;
  const step = (change: Partial<NodeRun>): RunState => {
    if (path === null) return state;
    const held = state.nodes[path] ?? FRESH;
    const nodes = { ...state.nodes, [path]: { ...held, ...change } };
    const top = outer(path);
    if (top !== path) {
      const before = nodes[top] ?? FRESH;
      const phase = change.phase === "done" || change.phase === "hit" ? before.phase : (change.phase ?? before.phase);
      nodes[top] = { ...before, phase: phase === "idle" ? "running" : phase, problem: change.problem ?? before.problem };
    }
    return { ...state, nodes };
  };
  switch (event.event) {
    case "item_started": {
      // Each item is a run of its own; the pictures stay until its own come.
      return { ...START, pictures: state.pictures, job: state.job, state: "running", drawn: state.drawn, items: state.items ?? { over: 0 } };
    }
    case "item_finished":
      return { ...state, items: { over: (state.items?.over ?? 0) + 1 } };
    case "planned":
      return {
        ...state,
        planned: { hit: event.hit, run: event.run, maybe: event.maybe, seconds: event.seconds },
      };
    case "step_started": {
      const next = step({ phase: "running", done: event.resumed, total: event.steps, problem: undefined });
      return { ...next, startedSteps: state.startedSteps + 1 };
    }
    case "step_progress":
      return step({ done: event.done, total: event.total, left: event.left, text: event.text });
    case "step_finished": {
      const next = step({ phase: "done", seconds: event.seconds, peak: event.peak });
      return { ...next, finishedSteps: state.finishedSteps + 1 };
    }
    case "step_hit":
      return step({ phase: "hit" });
    case "already_saved":
    case "saved": {
      const { files } = event;
      const next = step({ files, ...(event.event === "already_saved" ? { phase: "hit" as const } : {}) });
      return { ...next, files: [...state.files, ...files] };
    }
    case "step_failed":
      return step({ phase: "failed", problem: event.problem });
    case "step_blocked":
      return step({ phase: "blocked" });
    case "step_cancelled":
      return step({ phase: "cancelled" });
    case "job_finished": {
      const nodes = Object.fromEntries(
        Object.entries(state.nodes).map(([name, node]): [string, NodeRun] => {
          if (node.phase !== "running") return [name, node];
          return [name, { ...node, phase: event.state === "cancelled" ? "cancelled" : "done" }];
        }),
      );
      return {
        ...state,
        nodes,
        state: event.state,
        seconds: event.seconds,
        problems: event.problems,
      };
    }
    default:
      return state;
  }
}

/** A job of which nothing is known but that it waits. */
const waiting = (event: EventOf<"job_queued">): Job => ({
  id: event.job,
  state: "queued",
  title: event.title,
  created: event.created,
  problems: [],
  outputs: {},
  values: {},
  files: [],
  drawn: {},
  pictures: {},
  fraction: 0,
  ...(event.items ? { counts: { queued: event.items } } : {}),
});

/** A job's pictures with those of an event, which are the newest. */
function shownBy(job: Job, event: EventOf<"step_pictures">): Job["pictures"] {
  const { [event.path]: held, ...rest } = job.pictures;
  return { ...rest, [event.path]: { ...held, [event.output]: event.pictures } };
}

/** The queue after an event; `null` when the list has to be fetched again. */
export function reduceQueue(jobs: Job[], event: WireEvent): Job[] | null {
  const change = (id: string, patch: Partial<Job>): Job[] | null =>
    jobs.some((job) => job.id === id) ? jobs.map((job) => (job.id === id ? { ...job, ...patch } : job)) : null;
  switch (event.event) {
    case "job_queued":
      return jobs.some((job) => job.id === event.job) ? jobs : [...jobs, waiting(event)];
    case "job_started":
      return change(event.job, { state: "running", drawn: event.drawn });
    case "job_finished":
      return change(event.job, { state: event.state });
    case "step_progress":
      return change(event.job, { fraction: event.fraction }) ?? jobs;
    case "step_pictures":
      return jobs.map((job) => (job.id === event.job ? { ...job, pictures: shownBy(job, event) } : job));
    case "queue_changed": {
      const place = new Map(event.waiting.map((id, index) => [id, index]));
      if (event.waiting.some((id) => !jobs.some((job) => job.id === id))) return null;
      return [...jobs].sort((a, b) => (place.get(a.id) ?? -1) - (place.get(b.id) ?? -1));
    }
    default:
      return jobs;
  }
}

export type Forecast = "run" | "cached" | "maybe" | "light" | "failed" | "unused" | "unknown";

export interface Outlook {
  forecast: Forecast;
  why: string;
  seconds: number | null;
  /** Bytes in use at most while it runs, as far as was ever measured. */
  memory?: number;
  resumed?: number;
  steps?: number;
}

const FORECASTS: Record<string, Forecast> = {
  hit: "cached",
  saved: "cached",
  run: "run",
  maybe: "maybe",
  light: "light",
  failed: "failed",
  blocked: "failed",
  "not needed": "unused",
};

const outlookOf = (step: PlanStep): Outlook => ({
  forecast: FORECASTS[step.status] ?? "unknown",
  why: step.why ?? "",
  seconds: step.seconds ?? null,
  ...(step.memory ? { memory: step.memory } : {}),
  resumed: step.resumed,
  steps: step.steps,
});

const WEIGHT: Forecast[] = ["unknown", "unused", "light", "cached", "maybe", "run", "failed"];

/** What the plan says of each node; an instance says what the busiest step inside says, and the sum of their seconds. */
export function outlooks(plan: Plan): Record<string, Outlook> {
  const found: Record<string, Outlook> = {};
  for (const step of plan.steps) {
    const here = outlookOf(step);
    const inside = found[step.path];
    // A map is bookkeeping itself; what its items say counts.
    if (!inside || here.forecast !== "light") found[step.path] = here;
    const top = outer(step.path);
    if (top === step.path) continue;
    const held = found[top];
    if (!held) found[top] = { ...here };
    else {
      const busier = WEIGHT.indexOf(here.forecast) > WEIGHT.indexOf(held.forecast) ? here : held;
      const seconds = here.forecast === "run" || held.forecast === "run" ? sum(held, here) : null;
      const memory = Math.max(held.memory ?? 0, here.memory ?? 0);
      found[top] = { ...busier, seconds, ...(memory ? { memory } : {}) };
    }
  }
  return found;
}

/** What is known anew, with whatever is as it was before left the very same: who shows that is not drawn again. */
export function steady<T>(before: Record<string, T>, now: Record<string, T>): Record<string, T> {
  let news = Object.keys(before).length !== Object.keys(now).length;
  for (const [name, value] of Object.entries(now)) {
    const held = before[name];
    if (held !== undefined && JSON.stringify(held) === JSON.stringify(value)) now[name] = held;
    else news = true;
  }
  return news ? now : before;
}

/** The pictures of what the graph says now, where they were seen before: an edit that goes back shows what it comes back to. */
export function recalled(held: Record<string, Picture[]>, plan: Plan): Record<string, Picture[]> {
  const found: Record<string, Picture[]> = {};
  for (const step of plan.steps) {
    const [name] = Object.keys(step.pictures ?? {}).sort((a, b) => Number(a === "mask") - Number(b === "mask"));
    const pictures = name === undefined ? undefined : step.pictures?.[name];
    if (pictures) found[step.path] = found[outer(step.path)] = pictures;
  }
  const news = Object.entries(found).filter(([path, pictures]) => !same(held[path], pictures));
  return news.length ? { ...held, ...Object.fromEntries(news) } : held;
}

const same = (a: Picture[] | undefined, b: Picture[]): boolean => a?.length === b.length && b.every((picture, i) => picture.blob === a[i]?.blob);

function sum(a: Outlook, b: Outlook): number | null {
  const of = (item: Outlook) => (item.forecast === "run" ? item.seconds : 0);
  const [x, y] = [of(a), of(b)];
  return x === null || y === null ? null : x + y;
}

/** The one line before Run is pressed: how many of the nodes that compute will run, and how long. */
export function forecastLine(plan: Plan): string {
  const real = plan.steps.filter((step) => ["hit", "saved", "run", "maybe"].includes(step.status));
  const run = real.filter((step) => step.status === "run");
  const maybe = real.filter((step) => step.status === "maybe").length;
  if (plan.problems.length) return plural(plan.problems.length, "1 problem", "{n} problems");
  if (!real.length) return t("nothing to run");
  if (!run.length && !maybe) return t("everything is up to date");
  const count = plural(real.length, "{run} of 1 node", "{run} of {n} nodes", { run: run.length });
  const unsure = maybe ? `, ${t("perhaps {n} more", { n: maybe })}` : "";
  const time = plan.seconds === null || plan.seconds === undefined ? "" : `, ≈ ${duration(plan.seconds)}`;
  const memory = plan.memory ? `, ${bytes(plan.memory)}` : "";
  return `${count}${unsure}${time}${memory}`;
}

export interface Due {
  node: string;
  outlook: Outlook;
}

/** What the line stands for: the outermost nodes that will run and those that may, in the plan's order, and how many rest. */
export function due(plan: Plan): { run: Due[]; maybe: Due[]; cached: number } {
  const all = Object.entries(outlooks(plan)).filter(([path]) => outer(path) === path);
  const of = (forecast: Forecast): Due[] => all.filter(([, outlook]) => outlook.forecast === forecast).map(([node, outlook]) => ({ node, outlook }));
  return { run: of("run"), maybe: of("maybe"), cached: of("cached").length };
}

export function duration(seconds: number): string {
  if (seconds < 0.1) return "0.1 s";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = count;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

const STATES: Record<JobState, Text> = {
  queued: "waiting",
  running: "running",
  succeeded: "done",
  partial: "partly done",
  failed: "failed",
  cancelled: "cancelled",
  interrupted: "interrupted",
};

/** A job's or an item's state in words. */
export const stateWord = (state: JobState): string => t(STATES[state]);
