import type { Spot } from "../protocol/types";

/** What the canvas can do for the rest of the editor; set while it is on the page. */
export interface CanvasHands {
  fit(names?: string[]): void;
  toCanvas(screen: Spot): Spot;
  middle(): Spot;
  pointer(): Spot;
}

const still: CanvasHands = {
  fit: () => undefined,
  toCanvas: (spot) => spot,
  middle: () => ({ x: 0, y: 0 }),
  pointer: () => ({ x: 0, y: 0 }),
};

let hands: CanvasHands = still;
export const canvas = (): CanvasHands => hands;
export const setCanvas = (made: CanvasHands | null): void => {
  hands = made ?? still;
};
