/** What the editor does with the server: plan on every edit, run, cancel, open, save. */

import { seedsOf } from "../document/inputs";
import { mend as mendCommand } from "../document/operations";
import { parseEnd } from "../document/wires";
import { api, ApiError, type RunOptions } from "../protocol/http";
import { Socket } from "../protocol/socket";
import type { BatchJson, Job, JobState, JsonObject, Plan, Problem, WorkflowJson } from "../protocol/types";
import { SHARE } from "../run/items";
import { START } from "../run/state";
import { specsNow, useCatalogue } from "./catalogue";
import { documentNow, documentOf, perform, samePlan, tabNow, useDocument } from "./document";
import { takeFavourites } from "./favourites";
import { sentFrom, useRun } from "./run";
import { preferences, usePreferences } from "./preferences";
import { hearTab, join, sendAll } from "./sharing";
import { openSheet, useSheets } from "./sheets";
import { complain, say, useUi } from "./ui";
import { t } from "../words";

export const failed = (error: unknown): void => {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof ApiError) complain(error.problems);
  else complain(error instanceof TypeError ? t("the server does not answer; trying again") : String(error));
};

/** The workflow as the server gets it. */
export const outgoing = (): WorkflowJson => documentNow();

// ------------------------------------------------------------------------------------------------------------- plan

const QUIET = 20; // ms after the last edit: enough for what one press of a key sets in motion
let timer: ReturnType<typeof setTimeout> | undefined;
let asked: AbortController | null = null;

/** Plan soon: once for a burst of edits, the answer to the last one wins. */
export function planSoon(): void {
  clearTimeout(timer);
  timer = setTimeout(() => void planNow(), QUIET);
}

/** The newest of its name, for who measures how long a plan takes. */
function mark(name: "plan asked" | "plan there" | "plan shown"): void {
  performance.clearMarks(name);
  performance.mark(name);
}

async function planNow(): Promise<void> {
  asked?.abort();
  const mine = new AbortController();
  asked = mine;
  try {
    mark("plan asked");
    const plan = await api.plan(outgoing(), undefined, mine.signal);
    if (asked !== mine) return;
    mark("plan there");
    useRun.getState().setPlan(plan);
    requestAnimationFrame(() => mark("plan shown"));
    if (useUi.getState().live && edited) void runLive(plan);
  } catch (error) {
    if (error instanceof ApiError && asked === mine) {
      useRun.getState().setPlan({ steps: [], problems: error.problems, lints: [], drawn: {} });
    } // anything else: the line is down, the socket says so
  }
}

/** Plan whenever something changed that may change what runs. */
export function watchDocument(): () => void {
  const show = ({ active, tabs }: ReturnType<typeof useDocument.getState>) => useRun.getState().show(active, tabs.map((tab) => tab.id));
  show(useDocument.getState());
  return useDocument.subscribe((state, before) => {
    if (state.active !== before.active) {
      show(state);
      planSoon();
      return; // another workflow on screen is no edit
    }
    if (samePlan(documentOf(state), documentOf(before))) return;
    edited = true;
    planSoon();
  });
}

let edited = false; // since the last run that began by itself
let liveJob: string | null = null;
let liveTimer: ReturnType<typeof setTimeout> | undefined;

/** Run on change: the run of the edit before is cancelled, it would show what nobody asks for any more. */
function runLive(plan: Plan): void {
  clearTimeout(liveTimer);
  if (plan.problems.length || !plan.steps.some((step) => step.status === "run" || step.status === "maybe")) return;
  liveTimer = setTimeout(() => {
    edited = false;
    const former = liveJob;
    const open = former && useRun.getState().queue.some((job) => job.id === former && (job.state === "running" || job.state === "queued"));
    void (async () => {
      if (open) await api.cancel(former).catch(() => undefined);
      liveJob = (await run({ one: true }))?.id ?? null;
    })();
  }, preferences().rest * 1000);
}

// -------------------------------------------------------------------------------------------------------------- run

export async function run(options: RunOptions & { first?: boolean; one?: boolean } = {}): Promise<Job | null> {
  useDocument.getState().settle();
  const { first, one, ...rest } = options;
  const { count } = useUi.getState();
  const many = count > 1 && !one && !rest.targets && !rest.sweep && !rest.rows && !rest.batch;
  if (many) rest.batch = batchNow(count);
  if (rest.batch || rest.sweep || rest.rows) Object.assign(rest, sharingNow());
  try {
    const title = documentNow().title;
    const tab = tabNow().id;
    const job = await api.submit(outgoing(), { ...(title ? { title } : {}), ...rest });
    sentFrom(job.id, tab);
    if (first && (job.position ?? 0) > 0) await api.move(job.id, 0);
    if (many) say(t("{n} pictures, each of its own seed", { n: count }), { label: t("show them"), run: () => void openSheet(job.id).catch(failed) });
    return job;
  } catch (error) {
    failed(error);
    return null;
  }
}

/** A batch goes on from the seed that is there; where seeds are drawn anew for each run it draws them. */
export function batchNow(count: number): BatchJson {
  const document = documentNow();
  const seed = seedsOf(document, specsNow());
  const names = typeof seed === "string" ? (document.parameters?.[seed]?.to ?? []) : seed;
  const random = names.some((name) => {
    const end = parseEnd(name);
    return document.nodes[end.node]?.inputs[end.output] === "random";
  });
  return { count, seed, policy: random ? "random" : "increment" };
}

/** What of a request says that its items share forwards. */
export const sharingNow = (): { together?: number } => (useUi.getState().sharing ? { together: SHARE } : {});

export async function interrupt(): Promise<void> {
  const { run: held, queue } = useRun.getState();
  const id = held.state === "running" ? held.job : queue.find((job) => job.state === "running" || job.state === "queued")?.id;
  if (!id) return;
  try {
    await api.cancel(id);
  } catch (error) {
    failed(error);
  }
}

export async function refreshQueue(): Promise<void> {
  try {
    const { queue } = await api.state();
    useRun.getState().setQueue(queue.jobs, queue.paused);
  } catch (error) {
    failed(error);
  }
}

/** What a job has shown so far, as the run: after a reload, or when a result of the history is opened. */
export function showJob(job: Job): void {
  const pictures = Object.fromEntries(
    Object.entries(job.pictures ?? {}).flatMap(([path, outputs]) => {
      const found = Object.entries(outputs).find(([name]) => name !== "mask") ?? Object.entries(outputs)[0];
      return found ? [[path, found[1]]] : [];
    }),
  );
  useRun.getState().setRun({ ...START, job: job.id, state: job.state, pictures, drawn: job.drawn ?? {} });
}

// ----------------------------------------------------------------------------------------------------------- connect

/** A run has ended while nobody looks: the title says so until somebody does. */
function unseen(state: JobState): void {
  if (!document.hidden) return;
  if (preferences().tone) tone();
  if (preferences().notify) notify(state);
  if (!preferences().mark) return;
  const before = document.title;
  document.title = `${state === "succeeded" ? "✓" : "!"} ${before.replace(/^[✓!] /, "")}`;
  document.addEventListener("visibilitychange", () => void (document.title = before.replace(/^[✓!] /, "")), { once: true });
}

function notify(state: JobState): void {
  if (typeof Notification === "undefined" || Notification.permission !== "granted") return;
  const title = documentNow().title || t("Untitled");
  try {
    const notice = new Notification(title, { body: state === "succeeded" ? t("done") : t("failed"), tag: "weft" });
    notice.onclick = () => {
      window.focus();
      notice.close();
    };
  } catch {
    // a phone's browser has the name and refuses the call: the title says it, too
  }
}

function tone(): void {
  const audio = new AudioContext();
  const [sound, volume] = [audio.createOscillator(), audio.createGain()];
  sound.frequency.value = 660;
  volume.gain.setValueAtTime(0.08, audio.currentTime);
  volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + 0.4);
  sound.connect(volume).connect(audio.destination);
  sound.start();
  sound.stop(audio.currentTime + 0.4);
  sound.onended = () => void audio.close();
}

/** Everything from the start: the snapshot, the nodes, the socket that keeps both up to date. */
export async function connect(): Promise<void> {
  const state = await api.state();
  useRun.getState().setServer(state);
  takeFavourites(state.settings);
  const catalogue = await api.nodes();
  useCatalogue.getState().load(catalogue);
  const running = state.queue.jobs.find((job) => job.state === "running");
  if (running) showJob(await api.job(running.id));
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new Socket(`${scheme}//${location.host}/ws`, {
    event: (event) => {
      const again = useRun.getState().take(event);
      useSheets.getState().take(event);
      hearTab(event);
      if (event.event === "job_finished") unseen(event.state);
      if (event.event === "settings_changed") takeFavourites(event.settings as JsonObject);
      if (again) void refreshQueue();
      if (event.event === "nodes_changed") void api.nodes().then((catalogue) => useCatalogue.getState().load(catalogue), failed);
      if (event.event === "job_finished" || event.event === "nodes_changed" || event.event === "memory_freed") planSoon();
    },
    preview: (preview) => useRun.getState().preview(preview),
    snapshot: () => void catchUp(),
    connected: (yes) => {
      const was = useRun.getState().connected;
      useRun.getState().setConnected(yes);
      if (yes && !was) {
        planSoon();
        void sendAll();
      }
    },
  });
  socket.wish(preferences().previews);
  usePreferences.subscribe(({ previews }) => socket.wish(previews));
  socket.start(state.epoch, state.seq);
}

/** The server is a new one, or we were away for too long: what is on the page may be old. */
async function catchUp(): Promise<void> {
  void join().then(sendAll);
  try {
    const state = await api.state();
    useRun.getState().setServer(state);
    const { run: held } = useRun.getState();
    const running = state.queue.jobs.find((job) => job.state === "running");
    if (running && running.id !== held.job) showJob(await api.job(running.id));
    else if (held.job && held.state === "running") showJob(await api.job(held.job));
    const sheet = useSheets.getState().job;
    if (sheet && (sheet.state === "running" || sheet.state === "queued")) useSheets.getState().setJob(await api.job(sheet.id));
    planSoon();
  } catch (error) {
    failed(error);
  }
}

// -------------------------------------------------------------------------------------------------------------- mend

export function applyMend(problem: Problem): boolean {
  const edits = problem.mend?.edits ?? [];
  const command = edits.length ? mendCommand(documentNow(), specsNow(), edits) : null;
  return perform(command);
}

// --------------------------------------------------------------------------------------------------------- workflows

export async function save(name?: string): Promise<boolean> {
  const tab = tabNow();
  const wanted = name ?? tab.name;
  if (!wanted) return false;
  try {
    await api.save(wanted, outgoing());
    useDocument.getState().markSaved(wanted);
    say(t("saved as “{name}”", { name: wanted }));
    return true;
  } catch (error) {
    failed(error);
    return false;
  }
}

/** The document as a file of the browser's own. */
export function download(): void {
  const document_ = documentNow();
  const link = window.document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${JSON.stringify(document_, null, 2)}\n`], { type: "application/json" }));
  link.download = `${(document_.title || "workflow").replace(/[\\/:*?"<>|]/g, "_")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
