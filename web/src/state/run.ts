import { create } from "zustand";
import type { Job, Picture, Plan, Preview, Problem, ServerState, WireEvent } from "../protocol/types";
import { type Outlook, outlooks, recalled, reduce, reduceQueue, type RunState, START } from "../run/state";

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
  run: RunState;
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
}

export const useRun = create<RunStore>((set, get) => ({
  run: START,
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
    set(({ run }) => {
      const pictures = recalled(run.pictures, plan);
      const problems = byNode([...plan.problems, ...plan.lints]);
      return { plan, outlooks: outlooks(plan), problems, ...(pictures === run.pictures ? {} : { run: { ...run, pictures } }) };
    }),
  setServer: (server) => set({ server, queue: server.queue.jobs, paused: server.queue.paused }),
  setQueue: (queue, paused) => set({ queue, paused }),
  setRun: (run) => set({ run }),
  setConnected: (connected) => set({ connected }),
  take: (event) => {
    const state = get();
    const run = reduce(state.run, event);
    const queue = reduceQueue(state.queue, event);
    const patch: Partial<RunStore> = {};
    if (run !== state.run) patch.run = run;
    if (queue && queue !== state.queue) patch.queue = queue;
    if (event.job === run.job && OVER.has(event.event)) {
      const over = event.event === "step_finished" ? [String(event.path)] : Object.keys(state.previews);
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
