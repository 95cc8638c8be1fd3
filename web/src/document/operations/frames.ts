/** Frames, notes and stubs: what lies on the canvas beside the nodes. Layout only; nothing here changes what runs. */

import type { Frame, Note, Spot, ViewJson, WorkflowJson } from "../../protocol/types";
import type { Command, Put } from "../commands";
import { freeName, spotPut, viewKey } from "./base";

export type Things = "frames" | "notes";

/** What stands in this graph of one kind, by its own name. */
export function thingsIn<K extends Things>(view: ViewJson | undefined, kind: K, scope: string): [string, NonNullable<ViewJson[K]>[string]][] {
  const prefix = scope ? `#${scope}/` : "";
  return Object.entries(view?.[kind] ?? {})
    .filter(([key]) => (scope ? key.startsWith(prefix) : !key.startsWith("#")))
    .map(([key, thing]) => [key.slice(prefix.length), thing as NonNullable<ViewJson[K]>[string]]);
}

const round = <T extends Frame | Note>(thing: T): T => ({
  ...thing,
  x: Math.round(thing.x),
  y: Math.round(thing.y),
  w: Math.round(thing.w),
  h: Math.round(thing.h),
});

const thingPut = (kind: Things, scope: string, name: string, value: Frame | Note | undefined): Put => ({
  path: ["view", kind, viewKey(scope, name)],
  value: value && round(value),
});

export function addFrame(document: WorkflowJson, scope: string, frame: Frame): Command & { name: string } {
  const name = freeName("frame", Object.fromEntries(thingsIn(document.view, "frames", scope)));
  return { label: "frame", name, puts: [thingPut("frames", scope, name, frame)] };
}

export function addNote(document: WorkflowJson, scope: string, note: Note): Command & { name: string } {
  const name = freeName("note", Object.fromEntries(thingsIn(document.view, "notes", scope)));
  return { label: "note", name, puts: [thingPut("notes", scope, name, note)] };
}

export function editFrame(document: WorkflowJson, scope: string, name: string, patch: Partial<Frame>): Command | null {
  const held = document.view?.frames?.[viewKey(scope, name)];
  return held ? { label: "frame", puts: [thingPut("frames", scope, name, { ...held, ...patch })], merge: `frame ${scope}/${name}` } : null;
}

export function editNote(document: WorkflowJson, scope: string, name: string, patch: Partial<Note>): Command | null {
  const held = document.view?.notes?.[viewKey(scope, name)];
  return held ? { label: "note", puts: [thingPut("notes", scope, name, { ...held, ...patch })], merge: `note ${scope}/${name}` } : null;
}

export const removeThings = (scope: string, kind: Things, names: string[]): Command => ({
  label: kind === "frames" ? "remove the frame" : "delete the note",
  puts: names.map((name) => thingPut(kind, scope, name, undefined)),
});

/** New places for nodes, frames and notes at once: a frame takes along what is in it. */
export function moveAll(
  document: WorkflowJson,
  scope: string,
  spots: { nodes?: Record<string, Spot>; frames?: Record<string, Spot>; notes?: Record<string, Spot> },
): Command {
  const puts = Object.entries(spots.nodes ?? {}).map(([name, spot]) => spotPut(scope, name, spot));
  for (const kind of ["frames", "notes"] as const) {
    for (const [name, spot] of Object.entries(spots[kind] ?? {})) {
      const held = document.view?.[kind]?.[viewKey(scope, name)];
      if (held) puts.push(thingPut(kind, scope, name, { ...held, x: spot.x, y: spot.y }));
    }
  }
  return { label: "move", puts };
}

/** Wires as two short named ends instead of a line, or as lines again when all of them were stubs. */
export function stub(document: WorkflowJson, scope: string, wires: string[]): Command {
  const held = document.view?.stubs ?? {};
  const all = wires.every((id) => held[viewKey(scope, id)]);
  return {
    label: all ? "whole wires" : "stubs",
    puts: wires.map((id) => ({ path: ["view", "stubs", viewKey(scope, id)], value: all ? undefined : true })),
  };
}
