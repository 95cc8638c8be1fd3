/**
 * Tabs are kept on the server, so that a phone and a desktop share them, and a wiped browser loses nothing.
 *
 * Each tab has a version there. What is sent says which version it was made from; when another browser was quicker the
 * server refuses, nothing is overwritten, and the person is asked. Without a line everything goes on here, and is sent
 * when the line is back. A tab that was only looked at is not sent.
 */

import { create } from "zustand";
import * as history from "../document/history";
import { api, ApiError } from "../protocol/http";
import type { JsonObject, WireEvent, WorkflowJson } from "../protocol/types";
import { t } from "../words";
import { newId, tabNow, useDocument, type Tab } from "./document";
import { say } from "./ui";

/** What the server keeps of a tab. `saved` is true where the document is as it was saved. */
interface Body {
  name: string;
  document: WorkflowJson;
  saved: WorkflowJson | null | true;
}

/** What this browser knows of a tab on the server. */
export interface Share {
  version: number;
  /** What both have; null when that is not known. */
  agreed: { document: WorkflowJson; name: string; saved: WorkflowJson | null } | null;
}

interface Sharing {
  /** Tabs that were changed here and elsewhere, and what is there now. */
  conflicts: Record<string, { version: number; body: Body }>;
}

export const useSharing = create<Sharing>(() => ({ conflicts: {} }));

const QUIET = 700; // ms after the last edit
const RETRY = 5000; // ms
const MOST = 20; // tabs of other browsers that are opened
const shares = new Map<string, Share>();
const busy = new Set<string>();
const heard = new Map<string, number>(); // versions that were told while a tab was on its way
let timer: ReturnType<typeof setTimeout> | undefined;

const tabs = (): Tab[] => useDocument.getState().tabs;
const tabOf = (id: string): Tab | undefined => tabs().find((tab) => tab.id === id);
const same = (a: unknown, b: unknown): boolean => a === b || JSON.stringify(a) === JSON.stringify(b);

/** Is it worth sending: was anything done to it, or is it there already? */
const worth = (tab: Tab): boolean => shares.has(tab.id) || tab.history.past.length > 0 || tab.history.future.length > 0;
const agrees = (tab: Tab): boolean => {
  const held = shares.get(tab.id)?.agreed;
  return !!held && held.document === tab.history.document && held.name === tab.name && held.saved === tab.saved;
};

/** Of a tab, what outlives a reload: which version of the server's it was made from, and whether that is all of it. */
export const shareOf = (tab: Tab): { version: number; whole: boolean } | null => {
  const held = shares.get(tab.id);
  return held ? { version: held.version, whole: agrees(tab) } : null;
};

const bodyOf = (tab: Tab): Body => ({
  name: tab.name,
  document: tab.history.document,
  saved: tab.saved === tab.history.document ? true : tab.saved,
});

const agree = (tab: Tab, version: number): void =>
  void shares.set(tab.id, { version, agreed: { document: tab.history.document, name: tab.name, saved: tab.saved } });

/** The tab as the server has it; undo leads back to what was here. */
function take(id: string, version: number, body: Body): void {
  const held = tabOf(id);
  const document = held && same(held.history.document, body.document) ? held.history.document : body.document;
  const saved = body.saved === true ? document : body.saved;
  const tab: Tab = held
    ? { ...held, name: body.name, saved, history: history.replace(held.history, document) }
    : { id, name: body.name, saved, history: history.begin(document), trail: [] };
  agree(tab, version);
  useDocument.getState().put(tab);
}

function differ(id: string, conflict: { version: number; body: Body } | null): void {
  const rest = Object.entries(useSharing.getState().conflicts).filter(([held]) => held !== id);
  useSharing.setState({ conflicts: Object.fromEntries(conflict ? [...rest, [id, conflict]] : rest) });
}

const gone = (error: unknown): boolean => error instanceof ApiError && error.status === 404;

async function fetched(id: string): Promise<{ version: number; body: Body } | null> {
  try {
    const row = await api.tab(id);
    return { version: row.version, body: row.body as unknown as Body };
  } catch (error) {
    if (gone(error)) return null;
    throw error;
  }
}

/** Look at what the server has of a tab, and settle with it. */
async function pull(id: string): Promise<void> {
  const there = await fetched(id);
  const tab = tabOf(id);
  if (!there) return closedElsewhere(id);
  if (!tab || agrees(tab)) return take(id, there.version, there.body);
  if (same(there.body, bodyOf(tab))) {
    agree(tab, there.version);
    return differ(id, null);
  }
  differ(id, there);
}

function closedElsewhere(id: string): void {
  const tab = tabOf(id);
  const clean = tab && agrees(tab);
  shares.delete(id);
  differ(id, null);
  if (!tab) return;
  // What one looks at, or has changed, is not taken away; the next edit keeps it anew.
  if (clean && id !== tabNow().id) useDocument.getState().close(id);
  else say(t("“{name}” was closed in another window. It stays open here.", { name: tab.history.document.title || tab.name || t("Untitled") }));
}

async function push(id: string): Promise<void> {
  const tab = tabOf(id);
  if (!tab || busy.has(id) || !worth(tab) || agrees(tab) || useSharing.getState().conflicts[id]) return;
  busy.add(id);
  try {
    const row = await api.putTab(id, bodyOf(tab) as unknown as JsonObject, shares.get(id)?.version ?? 0);
    agree(tab, row.version);
  } catch (error) {
    if (!(error instanceof ApiError)) return later(); // no line
    if (error.status === 412) await pull(id).catch(() => undefined);
    else if (error.status < 500) shares.delete(id); // too large, or too many: it is kept in this browser alone
  } finally {
    busy.delete(id);
    const told = heard.get(id) ?? 0;
    heard.delete(id);
    if (told > (shares.get(id)?.version ?? 0)) await pull(id).catch(() => undefined);
  }
  const now = tabOf(id);
  if (now && shares.get(id)?.agreed && !agrees(now)) soon(); // edited while it was on its way
}

function soon(): void {
  clearTimeout(timer);
  timer = setTimeout(() => void sendAll(), QUIET);
}

/** Without a line: when it is back (`online`, or the socket stands again), and now and then. */
function later(): void {
  clearTimeout(timer);
  timer = setTimeout(() => void sendAll(), RETRY);
}

export async function sendAll(): Promise<void> {
  await Promise.all(tabs().map((tab) => push(tab.id)));
}

/** Take their version; mine stays one step of undo away. */
export function takeTheirs(id: string): void {
  const conflict = useSharing.getState().conflicts[id];
  if (!conflict) return;
  differ(id, null);
  take(id, conflict.version, conflict.body);
}

/** Theirs is the tab; mine goes on as a tab of its own, and stays in front. */
export function keepMine(id: string): void {
  const mine = tabOf(id);
  if (!mine || !useSharing.getState().conflicts[id]) return;
  const copy: Tab = { ...mine, id: newId(), name: "", saved: null };
  const front = tabNow().id === id;
  takeTheirs(id);
  useDocument.getState().put(copy);
  if (front) useDocument.getState().activate(copy.id);
  soon();
}

/** An event of the socket that is about tabs. */
export function hearTab(event: WireEvent): void {
  if (event.event !== "tab_changed") return;
  const { tab: id, version } = event;
  if (busy.has(id)) return void heard.set(id, Math.max(heard.get(id) ?? 0, version));
  const held = shares.get(id);
  if (version === 0) return held ? closedElsewhere(id) : undefined;
  if (held && version <= held.version) return;
  void pull(id).catch(() => undefined);
}

/**
 * What the server has, beside what this browser remembers: newer wins where nothing was changed here. After a line that
 * was down, or at the start. Gives the newest tab that this browser did not have.
 */
export async function join(kept: Map<string, { version: number; whole: boolean }> = new Map()): Promise<string | null> {
  for (const [id, { version, whole }] of kept) {
    const tab = tabOf(id);
    if (!tab) continue;
    if (whole) agree(tab, version);
    else shares.set(id, { version, agreed: null });
  }
  try {
    const { tabs: rows } = await api.tabs();
    const there = new Set(rows.map((row) => row.name));
    const missing = [...shares.keys()].filter((id) => !there.has(id));
    // Of a server that knows none of them it is not believed that all were closed: they are sent to it.
    if (rows.some((row) => shares.has(row.name))) missing.forEach(closedElsewhere);
    else missing.forEach((id) => shares.delete(id));
    const news = rows.filter((row) => row.version !== shares.get(row.name)?.version);
    const known = news.filter((row) => tabOf(row.name));
    const others = news.filter((row) => !tabOf(row.name)).slice(0, MOST);
    for (const row of [...known, ...others]) await pull(row.name).catch(() => undefined);
    return others[0]?.name ?? null;
  } catch {
    return null; // no line: what this browser has goes on
  }
}

/** From now on every edit is sent, and a tab that is closed is closed everywhere. */
export function share(): () => void {
  soon();
  window.addEventListener("online", soon);
  return useDocument.subscribe((state, before) => {
    if (state.tabs === before.tabs) return;
    for (const tab of before.tabs) {
      if (state.tabs.some((item) => item.id === tab.id) || !shares.has(tab.id)) continue;
      shares.delete(tab.id);
      differ(tab.id, null);
      void api.closeTab(tab.id).catch(() => undefined);
    }
    soon();
  });
}
