/** A mask as bytes, and what brushes do to it: 255 = change this. Pure; the painter puts it on the screen. */

export interface Box {
  left: number;
  top: number;
  right: number; // exclusive
  bottom: number;
}

export interface Mask {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

export interface Point {
  x: number;
  y: number;
}

export interface Brush {
  /** Pixels of the mask from the middle to the rim. */
  radius: number;
  /** 1: full up to the rim. 0: fades from the middle on. */
  hardness: number;
  erase: boolean;
}

export const newMask = (width: number, height: number): Mask => ({ width, height, data: new Uint8Array(width * height) });

export const whole = (mask: Mask): Box => ({ left: 0, top: 0, right: mask.width, bottom: mask.height });
export const isEmptyBox = (box: Box): boolean => box.right <= box.left || box.bottom <= box.top;

export function join(a: Box | null, b: Box): Box {
  if (!a || isEmptyBox(a)) return b;
  if (isEmptyBox(b)) return a;
  return { left: Math.min(a.left, b.left), top: Math.min(a.top, b.top), right: Math.max(a.right, b.right), bottom: Math.max(a.bottom, b.bottom) };
}

function within(mask: Mask, left: number, top: number, right: number, bottom: number): Box {
  return {
    left: Math.max(0, Math.floor(left)),
    top: Math.max(0, Math.floor(top)),
    right: Math.min(mask.width, Math.ceil(right)),
    bottom: Math.min(mask.height, Math.ceil(bottom)),
  };
}

/** One dab. Paint only ever adds and the eraser only takes away, so that dabs of a stroke do not pile up. */
export function dab(mask: Mask, at: Point, brush: Brush): Box {
  const radius = Math.max(0.5, brush.radius);
  const box = within(mask, at.x - radius - 1, at.y - radius - 1, at.x + radius + 1, at.y + radius + 1);
  const soft = radius * (1 - brush.hardness);
  const core = radius - soft;
  for (let y = box.top; y < box.bottom; y++) {
    for (let x = box.left; x < box.right; x++) {
      const distance = Math.hypot(x + 0.5 - at.x, y + 0.5 - at.y);
      if (distance >= radius + 0.5) continue;
      let share = soft > 1 ? (radius - distance) / soft : radius + 0.5 - distance; // a hard rim is one pixel wide
      if (distance <= core && soft > 1) share = 1;
      share = Math.max(0, Math.min(1, share));
      if (soft > 1) share = share * share * (3 - 2 * share);
      const level = Math.round(share * 255);
      const index = y * mask.width + x;
      const held = mask.data[index] as number;
      if (brush.erase) {
        if (255 - level < held) mask.data[index] = 255 - level;
      } else if (level > held) mask.data[index] = level;
    }
  }
  return box;
}

/** Dabs from one point to the next, close enough to look like a line; radii go over from one to the other. */
export function line(mask: Mask, from: Point & { radius: number }, to: Point & { radius: number }, brush: Brush): Box {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  const gap = Math.max(0.5, Math.min(from.radius, to.radius) * 0.2);
  const count = Math.max(1, Math.ceil(length / gap));
  let box: Box | null = null;
  for (let i = 1; i <= count; i++) {
    const share = i / count;
    const at = { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
    box = join(box, dab(mask, at, { ...brush, radius: from.radius + (to.radius - from.radius) * share }));
  }
  return box as Box;
}

/** All inside a closed outline (even-odd), its pixels by their middle. */
export function polygon(mask: Mask, points: Point[], erase: boolean): Box {
  const ys = points.map((point) => point.y);
  const xs = points.map((point) => point.x);
  const box = within(mask, Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
  const value = erase ? 0 : 255;
  for (let y = box.top; y < box.bottom; y++) {
    const middle = y + 0.5;
    const crossings: number[] = [];
    points.forEach((a, index) => {
      const b = points[(index + 1) % points.length] as Point;
      if (a.y <= middle !== b.y <= middle) crossings.push(a.x + ((middle - a.y) / (b.y - a.y)) * (b.x - a.x));
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(0, Math.ceil((crossings[i] as number) - 0.5));
      const to = Math.min(mask.width, Math.ceil((crossings[i + 1] as number) - 0.5));
      if (to > from) mask.data.fill(value, y * mask.width + from, y * mask.width + to);
    }
  }
  return box;
}

/** The pixels that hang together with `at` and that `like` says are alike, painted or erased. */
export function flood(mask: Mask, at: Point, like: (index: number, start: number) => boolean, erase: boolean): Box {
  const { width, height, data } = mask;
  const x0 = Math.floor(at.x);
  const y0 = Math.floor(at.y);
  const empty = { left: 0, top: 0, right: 0, bottom: 0 };
  if (x0 < 0 || y0 < 0 || x0 >= width || y0 >= height) return empty;
  const start = y0 * width + x0;
  const seen = new Uint8Array(width * height);
  const pending = [start];
  seen[start] = 1;
  const box: Box = { left: x0, top: y0, right: x0 + 1, bottom: y0 + 1 };
  const value = erase ? 0 : 255;
  while (pending.length) {
    const index = pending.pop() as number;
    data[index] = value;
    const x = index % width;
    const y = (index - x) / width;
    if (x < box.left) box.left = x;
    else if (x >= box.right) box.right = x + 1;
    if (y < box.top) box.top = y;
    else if (y >= box.bottom) box.bottom = y + 1;
    const step = (next: number) => {
      if (!seen[next] && like(next, start)) {
        seen[next] = 1;
        pending.push(next);
      }
    };
    if (x > 0) step(index - 1);
    if (x + 1 < width) step(index + 1);
    if (y > 0) step(index - width);
    if (y + 1 < height) step(index + width);
  }
  return box;
}

/** Unpainted ground up to what is painted. The levels are those of before: the flood must not meet its own paint. */
export function alikeInMask(mask: Mask): (index: number, start: number) => boolean {
  const held = mask.data.slice();
  return (index, start) => (held[index] as number) < 128 === (held[start] as number) < 128;
}

/** Colours of a picture (RGBA) within a tolerance of the one that was pressed. */
export function alikeInPicture(rgba: Uint8ClampedArray, tolerance: number): (index: number, start: number) => boolean {
  return (index, start) => {
    for (let channel = 0; channel < 3; channel++) {
      if (Math.abs((rgba[index * 4 + channel] as number) - (rgba[start * 4 + channel] as number)) > tolerance) return false;
    }
    return true;
  };
}

export function fillAll(mask: Mask, value: number): void {
  mask.data.fill(value);
}

export function invert(mask: Mask): void {
  for (let i = 0; i < mask.data.length; i++) mask.data[i] = 255 - (mask.data[i] as number);
}

/** The share of the picture that is to change, 0..1. */
export function covered(mask: Mask): number {
  let sum = 0;
  for (const level of mask.data) sum += level;
  return sum / (255 * mask.data.length);
}

// ------------------------------------------------------------------------------------------------------------- undo

interface Patch {
  box: Box;
  before: Uint8Array;
  after: Uint8Array;
}

const MOST = 96 * 2 ** 20; // bytes kept for undo

export function cut(mask: Mask, box: Box): Uint8Array {
  const wide = box.right - box.left;
  const piece = new Uint8Array(wide * (box.bottom - box.top));
  for (let y = box.top; y < box.bottom; y++) {
    piece.set(mask.data.subarray(y * mask.width + box.left, y * mask.width + box.right), (y - box.top) * wide);
  }
  return piece;
}

function lay(mask: Mask, box: Box, piece: Uint8Array): void {
  const wide = box.right - box.left;
  for (let y = box.top; y < box.bottom; y++) {
    mask.data.set(piece.subarray((y - box.top) * wide, (y - box.top + 1) * wide), y * mask.width + box.left);
  }
}

/** Undo and redo over one mask: of each change only the box it touched is kept. */
export class Past {
  private done: Patch[] = [];
  private undone: Patch[] = [];
  private before: Uint8Array | null = null;

  constructor(private readonly mask: Mask) {}

  /** Call before a change, `end` after it with all that it may have touched. */
  begin(): void {
    this.before = this.mask.data.slice();
  }

  end(box: Box): void {
    const { before } = this;
    this.before = null;
    if (!before || isEmptyBox(box)) return;
    const patch = { box, before: cut({ ...this.mask, data: before }, box), after: cut(this.mask, box) };
    if (patch.before.every((level, index) => level === patch.after[index])) return;
    this.done.push(patch);
    this.undone = [];
    let size = 0;
    const from = this.done.findLastIndex((held) => (size += 2 * held.before.length) > MOST);
    if (from >= 0) this.done.splice(0, Math.min(from + 1, this.done.length - 1));
  }

  /** What was changed since `begin` is taken back: a second finger came, it was no stroke. */
  drop(): void {
    if (this.before) this.mask.data.set(this.before);
    this.before = null;
  }

  undo(): Box | null {
    return this.go(this.done, this.undone, "before");
  }

  redo(): Box | null {
    return this.go(this.undone, this.done, "after");
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  private go(from: Patch[], to: Patch[], side: "before" | "after"): Box | null {
    const patch = from.pop();
    if (!patch) return null;
    lay(this.mask, patch.box, patch[side]);
    to.push(patch);
    return patch.box;
  }
}

// ------------------------------------------------------------------------------------------------------------ pixels

/** What `box` of the mask looks like over the picture: a tint as strong as the mask. */
export function tint(mask: Mask, box: Box, colour: [number, number, number], opacity: number, out: Uint8ClampedArray): void {
  let at = 0;
  for (let y = box.top; y < box.bottom; y++) {
    for (let x = box.left; x < box.right; x++) {
      out[at] = colour[0];
      out[at + 1] = colour[1];
      out[at + 2] = colour[2];
      out[at + 3] = (mask.data[y * mask.width + x] as number) * opacity;
      at += 4;
    }
  }
}

/** As a picture whose transparency is the mask (alpha = 1 - mask): what `image.load` reads it back from. */
export function toPixels(mask: Mask): Uint8ClampedArray<ArrayBuffer> {
  const out = new Uint8ClampedArray(mask.data.length * 4);
  mask.data.forEach((level, index) => {
    out[index * 4] = out[index * 4 + 1] = out[index * 4 + 2] = 255;
    out[index * 4 + 3] = 255 - level;
  });
  return out;
}

/** Back from such pixels, or from a picture of a mask (gray on opaque ground), as results are shown. */
export function fromPixels(mask: Mask, rgba: Uint8ClampedArray): void {
  let clear = false;
  for (let i = 3; i < rgba.length; i += 4) if ((rgba[i] as number) < 255) clear = true;
  for (let i = 0; i < mask.data.length; i++) mask.data[i] = clear ? 255 - (rgba[i * 4 + 3] as number) : (rgba[i * 4] as number);
}
