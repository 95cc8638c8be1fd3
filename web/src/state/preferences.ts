/** What a person has set for this browser: theme, language, previews, grid, sound. Kept in its storage, nowhere else. */

import { create } from "zustand";
import { type Language, LANGUAGES } from "../words";
import { recall, remember, useUi } from "./ui";

export type Theme = "dark" | "light" | "system";

export interface Preferences {
  theme: Theme;
  /** Pictures of work in progress are sent here and shown. */
  previews: boolean;
  /** Nodes stand on a grid of 8 pixels. */
  snap: boolean;
  /** Seconds without an edit before a run begins by itself. */
  rest: number;
  /** A run that ends while the page is not seen: a mark in its title, a short tone. */
  mark: boolean;
  tone: boolean;
  /** And a notice of the browser's; needs the browser's leave. */
  notify: boolean;
}

const NAME = "weft.preferences";
const DEFAULTS: Preferences = { theme: "dark", previews: true, snap: true, rest: 0.35, mark: true, tone: false, notify: false };

/** What was kept, as far as it has the form of what is meant: a storage can hold anything. */
function kept(): Preferences {
  let held: Partial<Preferences> = {};
  try {
    const record = JSON.parse(recall(NAME) ?? "{}") as Partial<Preferences> | null;
    const names = Object.keys(DEFAULTS) as (keyof Preferences)[];
    held = Object.fromEntries(names.filter((name) => typeof record?.[name] === typeof DEFAULTS[name]).map((name) => [name, record?.[name]]));
  } catch {
    // what cannot be read is as if it were not there
  }
  const theme = recall("weft.theme"); // also written by the switch in the rail
  const known: Theme[] = ["dark", "light", "system"];
  return { ...DEFAULTS, ...held, theme: known.find((one) => one === theme) ?? "dark" };
}

export const usePreferences = create<Preferences>(() => kept());
export const preferences = (): Preferences => usePreferences.getState();

export function prefer(change: Partial<Preferences>): void {
  usePreferences.setState(change);
  const { theme, ...rest } = preferences();
  remember(NAME, JSON.stringify(rest));
  remember("weft.theme", theme);
  dress();
}

/** The language that was chosen here; null: as the browser has it. */
export const languageChosen = (): Language | null => {
  const held = recall("weft.language");
  return held !== null && held in LANGUAGES ? (held as Language) : null;
};

/** Speak another language, or (null) the browser's. The page begins anew in it; the tabs are kept. */
export function setLanguage(language: Language | null): void {
  remember("weft.language", language ?? "");
  location.reload();
}

const light = typeof window === "undefined" || !window.matchMedia ? null : window.matchMedia("(prefers-color-scheme: light)");

/** Put the theme on: what was chosen, or what the system has. */
export function dress(): void {
  const { theme } = preferences();
  useUi.getState().set({ theme: theme === "system" ? (light?.matches ? "light" : "dark") : theme });
}
light?.addEventListener("change", dress);
