import { create } from "zustand";
import type { Command } from "../document/commands";
import * as history from "../document/history";
import { EMPTY, graphAt } from "../document/operations";
import type { GraphJson, WorkflowJson } from "../protocol/types";

/** A step into a sub-graph: its name, and the path of the instance that was entered (it prefixes paths in events). */
export interface Level {
  scope: string;
  path: string;
}

export interface Tab {
  id: string;
  /** The name it is saved under; "" for one that never was. */
  name: string;
  history: history.History;
  saved: WorkflowJson | null;
  trail: Level[];
}

interface DocumentState {
  tabs: Tab[];
  active: string;
  perform(command: Command | null): boolean;
  settle(): void;
  undo(): void;
  redo(): void;
  open(document: WorkflowJson, name: string): void;
  restore(tabs: Tab[], active: string): void;
  /** A tab as it is elsewhere: in the place of the one with its id, or behind the others. */
  put(tab: Tab): void;
  activate(id: string): void;
  close(id: string): void;
  markSaved(name: string): void;
  enter(level: Level): void;
  leave(depth: number): void;
}

let made = 0;
export const newId = (): string => `${Date.now().toString(36)}${(made++).toString(36)}`;
const newTab = (document: WorkflowJson, name: string): Tab => ({
  id: newId(),
  name,
  history: history.begin(document),
  saved: document,
  trail: [],
});

const first = newTab(EMPTY, "");

export const useDocument = create<DocumentState>((set, get) => {
  const change = (patch: (tab: Tab) => Tab) =>
    set((state) => ({ tabs: state.tabs.map((tab) => (tab.id === state.active ? patch(tab) : tab)) }));
  return {
    tabs: [first],
    active: first.id,
    perform: (command) => {
      if (!command) return false;
      const before = tabNow().history;
      const after = history.perform(before, command);
      if (after === before) return false;
      change((tab) => stepTo(tab, after));
      return true;
    },
    settle: () => change((tab) => ({ ...tab, history: history.settle(tab.history) })),
    undo: () => change((tab) => stepTo(tab, history.undo(tab.history))),
    redo: () => change((tab) => stepTo(tab, history.redo(tab.history))),
    open: (document, name) => {
      const tab = newTab(document, name);
      set((state) => {
        // An untouched empty tab gives way.
        const kept = state.tabs.filter((held) => held.name || held.history.past.length || count(held) > 0);
        return { tabs: [...kept, tab], active: tab.id };
      });
    },
    restore: (tabs, active) => set({ tabs, active }),
    put: (tab) =>
      set((state) => {
        const known = state.tabs.some((held) => held.id === tab.id);
        const shown = { ...tab, trail: standing(tab.history.document, tab.trail) };
        return { tabs: known ? state.tabs.map((held) => (held.id === tab.id ? shown : held)) : [...state.tabs, shown] };
      }),
    activate: (active) => set({ active }),
    close: (id) => {
      const { tabs, active } = get();
      const at = tabs.findIndex((tab) => tab.id === id);
      const left = tabs.filter((tab) => tab.id !== id);
      if (!left.length) left.push(newTab(EMPTY, ""));
      const next = id === active ? (left[Math.min(at, left.length - 1)] as Tab).id : active;
      set({ tabs: left, active: next });
    },
    markSaved: (name) => change((tab) => ({ ...tab, name, saved: tab.history.document })),
    enter: (level) => change((tab) => ({ ...tab, trail: [...tab.trail, level] })),
    leave: (depth) => change((tab) => ({ ...tab, trail: tab.trail.slice(0, depth) })),
  };
});

const count = (tab: Tab): number => Object.keys(tab.history.document.nodes).length;
const standing = (document: WorkflowJson, trail: Level[]): Level[] => {
  const gone = trail.findIndex((level) => !document.graphs?.[level.scope]);
  return gone < 0 ? trail : trail.slice(0, gone);
};
const stepTo = (tab: Tab, next: history.History): Tab => ({
  ...tab,
  history: next,
  trail: standing(next.document, tab.trail),
});

export const tabOf = (state: DocumentState): Tab =>
  state.tabs.find((tab) => tab.id === state.active) ?? (state.tabs[0] as Tab);
export const tabNow = (): Tab => tabOf(useDocument.getState());
export const documentOf = (state: DocumentState): WorkflowJson => tabOf(state).history.document;
export const documentNow = (): WorkflowJson => tabNow().history.document;
export const scopeOf = (state: DocumentState): string => tabOf(state).trail.at(-1)?.scope ?? "";
export const scopeNow = (): string => scopeOf(useDocument.getState());
export const prefixOf = (state: DocumentState): string => {
  const level = tabOf(state).trail.at(-1);
  return level ? `${level.path}/` : "";
};
export const graphOf = (state: DocumentState): GraphJson => graphAt(documentOf(state), scopeOf(state));
export const graphNow = (): GraphJson => graphOf(useDocument.getState());

/** The same document but for where its nodes stand: moving a node is no reason to plan anew. */
export function samePlan(a: WorkflowJson, b: WorkflowJson): boolean {
  const parts = ["nodes", "graphs", "parameters", "outputs", "title"] as const;
  return a === b || parts.every((part) => a[part] === b[part]);
}

const same = (a: WorkflowJson | null, b: WorkflowJson): boolean =>
  a !== null && (a === b || (samePlan(a, b) && a.view === b.view && a.about === b.about));
export const isDirty = (tab: Tab): boolean => !same(tab.saved, tab.history.document);

export const perform = (command: Command | null): boolean => useDocument.getState().perform(command);
