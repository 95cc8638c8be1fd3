import { create } from "zustand";
import { api } from "../protocol/http";
import type { Item, Job, Json, WireEvent } from "../protocol/types";
import { useUi } from "./ui";

/** One axis as it is being written: the input it goes through, and its values in words. */
export interface AxisDraft {
  /** `node.input`. */
  to: string;
  text: string;
  /** Of a text: whole texts, or words that take the first one's place. */
  mode: "values" | "words";
}

interface SheetsStore {
  axes: AxisDraft[];
  /** The job with items that is on the sheet. */
  job: Job | null;
  chosen: ReadonlySet<number>;
  setAxes(axes: AxisDraft[]): void;
  setJob(job: Job | null): void;
  choose(index: number, on?: boolean): void;
  chooseOnly(indices: Iterable<number>): void;
  take(event: WireEvent): void;
}

export const isOver = (state: Job["state"] | undefined): boolean => state !== undefined && state !== "queued" && state !== "running";

const NONE: ReadonlySet<number> = new Set();

export const useSheets = create<SheetsStore>((set, get) => ({
  axes: [],
  job: null,
  chosen: NONE,
  setAxes: (axes) => set({ axes }),
  setJob: (job) =>
    set((state) => {
      if (!job || state.job?.id !== job.id) return { job, chosen: NONE };
      // What was fetched may be older than what events have told meanwhile: an item that is over stays over.
      const held = state.job.items ?? [];
      const items = job.items?.map((item) => (isOver(item.state) || !isOver(held[item.index]?.state) ? item : (held[item.index] as Item)));
      return { job: { ...job, items, state: isOver(state.job.state) ? state.job.state : job.state } };
    }),
  choose: (index, on) =>
    set((state) => {
      const chosen = new Set(state.chosen);
      if (on ?? !chosen.has(index)) chosen.add(index);
      else chosen.delete(index);
      return { chosen };
    }),
  chooseOnly: (indices) => set({ chosen: new Set(indices) }),
  take: (event) => {
    const { job } = get();
    if (!job || !("job" in event) || event.job !== job.id) return;
    const change = (index: number, patch: Partial<Item>) =>
      set((state) =>
        state.job?.items ? { job: { ...state.job, items: state.job.items.map((item) => (item.index === index ? { ...item, ...patch } : item)) } } : state,
      );
    switch (event.event) {
      case "job_started":
        return set({ job: { ...job, state: "running" } });
      case "item_started":
        return change(event.item, { state: "running" });
      case "step_progress": {
        const { item, done, total } = event;
        if (total && item !== undefined) change(item, { fraction: done / total });
        return;
      }
      case "item_finished":
        return change(event.item, { state: event.state, outputs: event.outputs, error: event.error, values: event.values, files: event.files, fraction: 1 });
      case "job_finished":
        return set((state) => ({ job: state.job && { ...state.job, state: event.state } }));
    }
  },
}));

/** Show a job's items. */
export async function openSheet(id: string): Promise<void> {
  const { setJob } = useSheets.getState();
  setJob(await api.job(id));
  // On a phone a panel covers the page: it makes room.
  useUi.getState().set({ sheet: id, ...(window.innerWidth <= 700 ? { panel: null } : {}) });
  // What happened while the first answer was on its way: events of a job that was not shown yet go by.
  const now = await api.job(id);
  if (useSheets.getState().job?.id === id) setJob(now);
}

/** An input becomes the next axis of the sweep that is being made; the panel opens. */
export function addAxis(to: string, text: string): void {
  const { axes, setAxes } = useSheets.getState();
  if (!axes.some((axis) => axis.to === to)) setAxes([...axes.slice(0, 2), { to, text, mode: "values" }]);
  useUi.getState().set({ panel: "sweep", fieldMenu: null });
}

export const shownValue = (value: Json | undefined): string => (value === undefined || value === null ? "–" : typeof value === "string" ? value : JSON.stringify(value));
