import type { WireEvent } from "./types";

/** Of an event, what a test is about. */
export type Part<E = WireEvent> = E extends { event: infer Name } ? { event: Name } & { [Field in keyof E]?: unknown } : never;
export const told = (event: Part): WireEvent => event as WireEvent;
