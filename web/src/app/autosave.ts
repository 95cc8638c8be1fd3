/** The open tabs outlive a crash and a reload: kept in IndexedDB, one record for each window. */

import type { WorkflowJson } from "../protocol/types";
import { begin } from "../document/history";
import { useDocument, type Tab } from "../state/document";
import { shareOf } from "../state/sharing";

interface Kept {
  id: string;
  name: string;
  document: WorkflowJson;
  saved: WorkflowJson | null;
  /** Which version of the server's it was made from, and whether the server has all of it. */
  share?: { version: number; whole: boolean } | null;
}

interface Session {
  tabs: Kept[];
  active: string;
  time: number;
}

const DATABASE = "weft";
const STORE = "sessions";
const PATIENCE_MS = 2000;

function database(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB cannot be opened"));
  });
}

async function inStore<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const held = await database();
  try {
    return await new Promise<T>((resolve, reject) => {
      const request = work(held.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error ?? new Error("IndexedDB failed"));
    });
  } finally {
    held.close();
  }
}

/** A reload keeps the window's name; a new window takes up where the last one stopped. */
function windowName(): { name: string; fresh: boolean } {
  const held = sessionStorage.getItem("weft.window");
  if (held) return { name: held, fresh: false };
  const name = Date.now().toString(36);
  sessionStorage.setItem("weft.window", name);
  return { name, fresh: true };
}

/** What a page that is going away can still write at once; the newer of this and the database counts. */
const LAST_WORDS = "weft.last";

function lastWords(name: string): Session | null {
  const held = localStorage.getItem(LAST_WORDS);
  const session = held ? (JSON.parse(held) as Session & { window: string }) : null;
  return session?.window === name ? session : null;
}

/** The tabs that were open, or null. Nothing here may keep the editor from starting. */
export async function recover(): Promise<{ tabs: Tab[]; active: string; shares: Map<string, { version: number; whole: boolean }> } | null> {
  try {
    const { name, fresh } = windowName();
    // A database that another window is just removing may not answer at all: the editor does not wait for it.
    const stored = await Promise.race([
      inStore("readonly", (store) => store.get(fresh ? "latest" : name) as IDBRequest<Session | undefined>),
      new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), PATIENCE_MS)),
    ]);
    const said = lastWords(name);
    const session = said && (!stored || said.time > stored.time) ? said : stored;
    if (!session?.tabs.length) return null;
    const tabs = session.tabs.map((kept): Tab => {
      // The same object where nothing was changed, so that the tab does not look edited.
      const saved = kept.saved && JSON.stringify(kept.saved) === JSON.stringify(kept.document) ? kept.document : kept.saved;
      return { id: kept.id, name: kept.name, history: begin(kept.document), saved, trail: [] };
    });
    const shares = new Map(session.tabs.flatMap((kept) => (kept.share ? [[kept.id, kept.share] as const] : [])));
    return { tabs, active: session.active, shares };
  } catch {
    return null;
  }
}

function current(): Session {
  const { tabs, active } = useDocument.getState();
  return {
    tabs: tabs.map((tab) => ({ id: tab.id, name: tab.name, document: tab.history.document, saved: tab.saved, share: shareOf(tab) })),
    active,
    time: Date.now(),
  };
}

export function watch(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  // Edits made, and how many of them the database is known to hold: a write under way is not yet kept.
  let made = 0;
  let held = 0;
  const keep = async () => {
    const upTo = made;
    const session = current();
    try {
      await inStore("readwrite", (store) => store.put(session, windowName().name));
      await inStore("readwrite", (store) => store.put(session, "latest"));
      held = Math.max(held, upTo);
    } catch {
      // private windows may have no storage: then there is no recovery, and nothing else suffers
    }
  };
  const soon = () => {
    made += 1;
    clearTimeout(timer);
    timer = setTimeout(() => void keep(), 300);
  };
  const leave = () => {
    if (held === made) return; // all is kept
    try {
      localStorage.setItem(LAST_WORDS, JSON.stringify({ ...current(), window: windowName().name }));
    } catch {
      // too large, or no storage: the database has what was there a moment ago
    }
  };
  window.addEventListener("pagehide", leave);
  const stop = useDocument.subscribe(soon);
  return () => {
    clearTimeout(timer);
    window.removeEventListener("pagehide", leave);
    stop();
  };
}
