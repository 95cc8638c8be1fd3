import type { Spot } from "../protocol/types";

/** What the canvas can do for the rest of the editor; set while it is on the page. */
export interface CanvasHands {
  fit(names?: string[]): void;
  toCanvas(screen: Spot): Spot;
  middle(): Spot;
  pointer(): Spot;
  /** Where things stand and how large they are, by id. */
  boxes(ids: string[]): Record<string, { x: number; y: number; width: number; height: number }>;
  /** Ids of all that stands here: nodes, frames, notes. */
  all(): string[];
  /** New places, as one command. */
  put(spots: Record<string, Spot>, label?: string): void;
  /** Bring a thing into view, if it is not. */
  reveal(id: string): void;
  /** The keyboard goes on from this node, or from a socket of it. */
  focus(id: string, socket?: string): void;
  /** What the middle of the screen shows, and how large; and to look there. */
  view(): Spot & { zoom: number };
  look(view: Spot & { zoom: number }): void;
  /** Nearer or farther, about the middle. */
  zoom(by: number): void;
}

const still: CanvasHands = {
  fit: () => undefined,
  toCanvas: (spot) => spot,
  middle: () => ({ x: 0, y: 0 }),
  pointer: () => ({ x: 0, y: 0 }),
  boxes: () => ({}),
  all: () => [],
  put: () => undefined,
  reveal: () => undefined,
  focus: () => undefined,
  view: () => ({ x: 0, y: 0, zoom: 1 }),
  look: () => undefined,
  zoom: () => undefined,
};

let hands: CanvasHands = still;
export const canvas = (): CanvasHands => hands;
export const setCanvas = (made: CanvasHands | null): void => {
  hands = made ?? still;
};
