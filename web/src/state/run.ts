import { create } from "zustand";
import type { Job, Picture, Plan, Preview, Problem, ServerState, WireEvent } from "../protocol/types";
import { type Outlook, outlooks, recalled, reduce, reduceQueue, type RunState, START, steady } from "../run/state";

export interface PreviewPicture {
  url: string;
  width: number;
  height: number;
}

export interface Frame {
  done: number;
  total: number;
  picture: Blob;
}

const LONGEST_FILM = 120;

interface RunStore {
  /** The run of the workflow on screen. */
  run: RunState;
  /** Those of the other open tabs, by the tab's id: two workflows may have nodes of one name. */
  others: Record<string, RunState>;
  queue: Job[];
  paused: boolean;
  plan: Plan | null;
  outlooks: Record<string, Outlook>;
  /** Problems and advice of the plan, by the node's path. */
  problems: Record<string, Problem[]>;
  previews: Record<string, PreviewPicture>;
  /** The pictures that nodes load, seen before anything runs; by path. */
  inputs: Record<string, Picture[]>;
  /** The steps of the last run that were seen, by node: to go through them again. */
  films: { job: string; frames: Record<string, Frame[]> };
  connected: boolean;
  server: ServerState | null;
  setPlan(plan: Plan): void;
  setServer(state: ServerState): void;
  setQueue(jobs: Job[], paused: boolean): void;
  /** Take an event in; true when the queue has to be fetched again. */
  take(event: WireEvent): boolean;
  preview(preview: Preview): void;
  setRun(run: RunState): void;
  setConnected(yes: boolean): void;
  /** Another tab comes on screen, and its run with it. */
  show(tab: string, open: string[]): void;
}

export const useRun = create<RunStore>((set, get) => ({
  run: START,
  others: {},
  queue: [],
  paused: false,
  plan: null,
  outlooks: {},
  problems: {},
  previews: {},
  inputs: {},
  films: { job: "", frames: {} },
  connected: true,
  server: null,
  setPlan: (plan) =>
    set(({ run, outlooks: before, problems: told }) => {
      const pictures = recalled(run.pictures, plan);
      const problems = steady(told, byNode([...plan.problems, ...plan.lints]));
      return { plan, outlooks: steady(before, outlooks(plan)), problems, ...(pictures === run.pictures ? {} : { run: { ...run, pictures } }) };
    }),
  setServer: (server) => set({ server, queue: server.queue.jobs, paused: server.queue.paused }),
  setQueue: (queue, paused) => set({ queue, paused }),
  setRun: (run) => {
    const away = elsewhere(run.job ?? undefined);
    set(away ? { others: { ...get().others, [away]: run } } : { run });
  },
  setConnected: (connected) => set({ connected }),
  show: (tab, open) =>
    set(({ run, others, previews }) => {
      if (tab === shown) return {};
      const first = !shown; // what the page found running when it was opened, before it had its tabs
      const held = { ...others, ...(first ? {} : { [shown]: run }) };
      shown = tab;
      for (const preview of Object.values(previews)) setTimeout(() => URL.revokeObjectURL(preview.url), 1000);
      const kept = Object.entries(held).filter(([id]) => id !== tab && open.includes(id));
      return { run: held[tab] ?? (first ? run : START), others: Object.fromEntries(kept), previews: {}, plan: null, outlooks: {}, problems: {} };
    }),
  take: (event) => {
    const state = get();
    const away = elsewhere("job" in event ? event.job : undefined);
    if (away) set({ others: { ...state.others, [away]: reduce(state.others[away] ?? START, event) } });
    const run = away ? state.run : reduce(state.run, event);
    const queue = reduceQueue(state.queue, event);
    const patch: Partial<RunStore> = {};
    if (event.event === "queue_changed") patch.paused = event.paused;
    if (run !== state.run) patch.run = run;
    if (queue && queue !== state.queue) patch.queue = queue;
    if (!away && "job" in event && event.job === run.job && OVER.has(event.event)) {
      const over = event.event === "step_finished" ? [event.path] : Object.keys(state.previews);
      patch.previews = Object.fromEntries(Object.entries(state.previews).filter(([path]) => !over.includes(path)));
      for (const path of over) {
        const held = state.previews[path];
        if (held) setTimeout(() => URL.revokeObjectURL(held.url), 1000); // it may still be on screen in this frame
      }
    }
    set(patch);
    return queue === null;
  },
  preview: (preview) => {
    if (elsewhere(preview.job)) return;
    set(({ films }) => {
      const frames = films.job === preview.job ? films.frames : {};
      const held = frames[preview.path] ?? [];
      const frame = { done: preview.done, total: preview.total, picture: preview.picture };
      // A node that runs again in the same job (an item, a turn) begins a film of its own.
      const film = held.length && preview.done <= (held.at(-1)?.done ?? 0) ? [frame] : [...held, frame].slice(-LONGEST_FILM);
      return { films: { job: preview.job, frames: { ...frames, [preview.path]: film } } };
    });
    const url = URL.createObjectURL(preview.picture);
    const image = new Image();
    const wanted = () => {
      const { run } = get();
      return run.job === preview.job && run.nodes[preview.path]?.phase === "running";
    };
    image.onload = () => {
      if (!wanted()) return URL.revokeObjectURL(url);
      const held = get().previews[preview.path];
      if (held) setTimeout(() => URL.revokeObjectURL(held.url), 1000);
      const picture = { url, width: image.naturalWidth, height: image.naturalHeight };
      set((state) => ({ previews: { ...state.previews, [preview.path]: picture } }));
    };
    image.onerror = () => URL.revokeObjectURL(url);
    if (wanted()) image.src = url;
    else URL.revokeObjectURL(url);
  },
}));

let shown = ""; // the tab on screen

/** Which tab sent a job; outlives a reload of the page. */
const senders = ((): Map<string, string> => {
  try {
    return new Map(JSON.parse(sessionStorage.getItem("weft.senders") ?? "[]") as [string, string][]);
  } catch {
    return new Map();
  }
})();

/** The tab that sent this job, when it is not the one on screen. */
const elsewhere = (job: string | undefined): string | undefined => {
  const tab = senders.get(job ?? "");
  return tab === undefined || tab === shown ? undefined : tab;
};

/** This job belongs to that tab: what it tells stands on its nodes alone. */
export function sentFrom(job: string, tab: string): void {
  senders.set(job, tab);
  for (const old of [...senders.keys()].slice(0, -100)) senders.delete(old);
  try {
    sessionStorage.setItem("weft.senders", JSON.stringify([...senders]));
  } catch {
    // storage that is full or forbidden: the tab is forgotten with the page
  }
}

const OVER = new Set(["step_finished", "step_failed", "job_finished", "job_started"]);

function byNode(problems: Problem[]): Record<string, Problem[]> {
  const found: Record<string, Problem[]> = {};
  for (const problem of problems) {
    const path = problem.where?.path ?? "";
    (found[path] ??= []).push(problem);
    const top = path.split(/[/[]/)[0] ?? path;
    if (top !== path) (found[top] ??= []).push(problem);
  }
  return found;
}
