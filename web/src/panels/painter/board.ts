/** The painter's hands: pointers, fingers, pen and keys become strokes on the mask, pans and zooms. Knows no React. */

import { alikeInMask, alikeInPicture, type Box, type Brush, dab, fillAll, flood, fromPixels, invert, isEmptyBox, join, line, type Mask, newMask, Past, type Point, polygon, tint, toPixels, whole } from "./mask";

export type Tool = "brush" | "erase" | "lasso" | "rect" | "fill" | "wand";

export interface Settings {
  tool: Tool;
  /** The brush's width, in pixels of the picture. */
  size: number;
  hardness: number;
  opacity: number;
  /** Of the wand: how far a colour may be from the one pressed, 0..255. */
  tolerance: number;
  colour: [number, number, number];
}

interface Parts {
  stage: HTMLElement;
  sheet: HTMLElement;
  overlay: HTMLCanvasElement;
  ring: HTMLElement;
  outline: SVGPolylineElement;
}

interface View extends Point {
  zoom: number;
}

type Held = { kind: "stroke"; last: Point & { radius: number }; box: Box | null; brush: Brush } | { kind: "outline"; points: Point[]; erase: boolean } | { kind: "pan"; from: Point; view: View } | null;

const MOST_ZOOM = 40;

export class Board {
  readonly mask: Mask;
  private readonly past: Past;
  private readonly pen: CanvasRenderingContext2D;
  private view: View = { x: 0, y: 0, zoom: 1 };
  private held: Held = null;
  private readonly fingers = new Map<number, Point>();
  private pinch: { span: number; middle: Point; view: View } | null = null;
  private lastDab: (Point & { radius: number }) | null = null;
  private cursor: Point;
  private spaceDown = false;
  private moved = false; // the view was set by hand: a new window size leaves it alone
  private readonly stop = new AbortController();
  private pictureBytes: Uint8ClampedArray | null = null;

  constructor(
    private readonly parts: Parts,
    private readonly picture: HTMLImageElement,
    private readonly settings: () => Settings,
    private readonly changed: () => void,
  ) {
    const { naturalWidth: width, naturalHeight: height } = picture;
    this.mask = newMask(width, height);
    this.past = new Past(this.mask);
    this.cursor = { x: width / 2, y: height / 2 };
    parts.overlay.width = width;
    parts.overlay.height = height;
    parts.sheet.style.width = `${width}px`;
    parts.sheet.style.height = `${height}px`;
    this.pen = parts.overlay.getContext("2d") as CanvasRenderingContext2D;
    this.listen();
    this.fit();
  }

  close(): void {
    this.stop.abort();
  }

  get canUndo(): boolean {
    return this.past.canUndo;
  }
  get canRedo(): boolean {
    return this.past.canRedo;
  }
  get zoom(): number {
    return this.view.zoom;
  }

  undo(): void {
    this.showAndTell(this.past.undo());
  }
  redo(): void {
    this.showAndTell(this.past.redo());
  }
  clear(): void {
    this.all(() => fillAll(this.mask, 0));
  }
  fill(): void {
    this.all(() => fillAll(this.mask, 255));
  }
  invert(): void {
    this.all(() => invert(this.mask));
  }

  /** Take a mask from a picture: one that was painted before, or what a mask node has given. */
  begin(picture: HTMLImageElement): void {
    const canvas = document.createElement("canvas");
    canvas.width = this.mask.width;
    canvas.height = this.mask.height;
    const pen = canvas.getContext("2d");
    if (!pen) return;
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
    this.all(() => fromPixels(this.mask, data));
  }

  /** As a PNG whose transparency is the mask. */
  async png(): Promise<Blob> {
    const canvas = document.createElement("canvas");
    canvas.width = this.mask.width;
    canvas.height = this.mask.height;
    canvas.getContext("2d")?.putImageData(new ImageData(toPixels(this.mask), canvas.width, canvas.height), 0, 0);
    return await new Promise((resolve, reject) =>
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the browser could not write the mask"))), "image/png"),
    );
  }

  /** The tint or its strength is another: paint the overlay anew. */
  repaint(): void {
    this.show(whole(this.mask));
    this.placeRing();
  }

  /** The brush is another: its ring follows. */
  refresh(): void {
    this.placeRing();
  }

  fit(): void {
    const area = this.parts.stage.getBoundingClientRect();
    const room = Math.min((area.width - 32) / this.mask.width, (area.height - 32) / this.mask.height);
    this.moved = false;
    this.look({ zoom: Math.max(0.02, Math.min(room, MOST_ZOOM)), x: 0, y: 0 }, true);
  }

  /** Zoom about a point of the stage; without one about its middle. */
  zoomTo(zoom: number, about?: Point): void {
    const area = this.parts.stage.getBoundingClientRect();
    const at = about ?? { x: area.width / 2, y: area.height / 2 };
    const next = Math.max(0.02, Math.min(MOST_ZOOM, zoom));
    const ratio = next / this.view.zoom;
    this.moved = true;
    this.look({ zoom: next, x: at.x - (at.x - this.view.x) * ratio, y: at.y - (at.y - this.view.y) * ratio });
  }

  // ------------------------------------------------------------------------------------------------------ on screen

  private look(view: View, centre = false): void {
    const area = this.parts.stage.getBoundingClientRect();
    this.view = centre
      ? { zoom: view.zoom, x: (area.width - this.mask.width * view.zoom) / 2, y: (area.height - this.mask.height * view.zoom) / 2 }
      : view;
    const { x, y, zoom } = this.view;
    this.parts.sheet.style.setProperty("--zoom", String(zoom));
    this.parts.sheet.style.transform = `translate(${x}px, ${y}px) scale(${zoom})`;
    this.parts.sheet.classList.toggle("pixels", zoom >= 8);
    this.placeRing();
    this.changed();
  }

  private show(box: Box | null): void {
    if (!box || isEmptyBox(box)) return;
    const { colour, opacity } = this.settings();
    const image = new ImageData(box.right - box.left, box.bottom - box.top);
    tint(this.mask, box, colour, opacity, image.data);
    this.pen.putImageData(image, box.left, box.top);
  }

  private showAndTell(box: Box | null): void {
    this.show(box);
    this.changed();
  }

  private all(change: () => void): void {
    this.past.begin();
    change();
    this.past.end(whole(this.mask));
    this.showAndTell(whole(this.mask));
  }

  private placeRing(): void {
    const { ring } = this.parts;
    const { tool, size } = this.settings();
    const brush = tool === "brush" || tool === "erase";
    const wide = Math.max(3, size * this.view.zoom);
    ring.hidden = !brush;
    ring.style.width = ring.style.height = `${wide}px`;
    ring.style.transform = `translate(${this.view.x + this.cursor.x * this.view.zoom - wide / 2}px, ${this.view.y + this.cursor.y * this.view.zoom - wide / 2}px)`;
    this.parts.stage.style.cursor = this.spaceDown ? "grab" : brush ? "none" : "crosshair";
  }

  private drawOutline(points: Point[]): void {
    this.parts.outline.setAttribute("points", points.map((point) => `${point.x},${point.y}`).join(" "));
  }

  // ----------------------------------------------------------------------------------------------------------- hands

  private onStage(event: { clientX: number; clientY: number }): Point {
    const area = this.parts.stage.getBoundingClientRect();
    return { x: event.clientX - area.left, y: event.clientY - area.top };
  }

  private onPicture(event: { clientX: number; clientY: number }): Point {
    const at = this.onStage(event);
    return { x: (at.x - this.view.x) / this.view.zoom, y: (at.y - this.view.y) / this.view.zoom };
  }

  private radius(event: PointerEvent): number {
    const { size } = this.settings();
    return (size / 2) * (event.pointerType === "pen" && event.pressure > 0 ? Math.max(0.12, event.pressure) : 1);
  }

  private listen(): void {
    const { stage } = this.parts;
    const { signal } = this.stop;
    stage.addEventListener("pointerdown", (event) => this.down(event), { signal });
    stage.addEventListener("pointermove", (event) => this.move(event), { signal });
    for (const kind of ["pointerup", "pointercancel"] as const) stage.addEventListener(kind, (event) => this.up(event), { signal });
    stage.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        if (event.altKey) return this.resize(event.deltaY < 0 ? 1 : -1);
        if (event.ctrlKey || !event.shiftKey) this.zoomTo(this.view.zoom * Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0018)), this.onStage(event));
        else {
          this.moved = true;
          this.look({ ...this.view, x: this.view.x - event.deltaX - event.deltaY });
        }
      },
      { signal, passive: false },
    );
    window.addEventListener(
      "keyup",
      (event) => {
        if (event.key !== " ") return;
        this.spaceDown = false;
        this.placeRing();
      },
      { signal },
    );
    const watcher = new ResizeObserver(() => {
      if (!this.moved) this.fit();
    });
    watcher.observe(stage);
    signal.addEventListener("abort", () => watcher.disconnect());
  }

  /** Set by whoever holds the settings: another size, by steps of the keys and the wheel. */
  resize: (steps: number) => void = () => undefined;

  private down(event: PointerEvent): void {
    const { stage } = this.parts;
    stage.focus({ preventScroll: true });
    event.preventDefault();
    try {
      stage.setPointerCapture(event.pointerId);
    } catch {
      // a pointer that is gone again already
    }
    if (event.pointerType === "touch") {
      this.fingers.set(event.pointerId, this.onStage(event));
      if (this.fingers.size === 2) return this.startPinch();
      if (this.fingers.size > 2) return;
    }
    if (event.button === 1 || (event.button === 0 && this.spaceDown)) {
      this.held = { kind: "pan", from: this.onStage(event), view: this.view };
      return;
    }
    if (event.button !== 0 && event.button !== 2) return;
    this.use(this.onPicture(event), this.radius(event), event.button === 2, event.shiftKey);
  }

  /** The tool comes down at a point. The right button takes away whatever the tool would paint. */
  private use(at: Point, radius: number, away: boolean, straight: boolean): void {
    const { tool, hardness, tolerance } = this.settings();
    const erase = away !== (tool === "erase");
    this.cursor = at;
    this.placeRing();
    this.past.begin();
    if (tool === "brush" || tool === "erase") {
      const brush = { radius, hardness, erase };
      const here = { ...at, radius };
      const box = straight && this.lastDab ? line(this.mask, this.lastDab, here, brush) : dab(this.mask, at, brush);
      this.held = { kind: "stroke", last: here, box, brush };
      this.lastDab = here;
      this.show(box);
    } else if (tool === "lasso" || tool === "rect") {
      this.held = { kind: "outline", points: [at], erase };
    } else {
      const like = tool === "fill" ? alikeInMask(this.mask) : alikeInPicture(this.pixels(), tolerance);
      const box = flood(this.mask, at, like, erase);
      this.past.end(box);
      this.showAndTell(box);
    }
  }

  private move(event: PointerEvent): void {
    if (this.fingers.has(event.pointerId)) this.fingers.set(event.pointerId, this.onStage(event));
    if (this.pinch) return this.goOnPinching();
    const { held } = this;
    this.cursor = this.onPicture(event);
    if (held?.kind === "pan") {
      const at = this.onStage(event);
      this.moved = true;
      this.look({ ...held.view, x: held.view.x + at.x - held.from.x, y: held.view.y + at.y - held.from.y });
    } else if (held?.kind === "stroke") {
      const events = event.getCoalescedEvents?.() ?? [];
      let box: Box | null = null;
      for (const part of events.length ? events : [event]) {
        const here = { ...this.onPicture(part), radius: this.radius(part) };
        box = join(box, line(this.mask, held.last, here, held.brush));
        held.last = here;
      }
      this.lastDab = held.last;
      if (box) held.box = join(held.box, box);
      this.show(box);
    } else if (held?.kind === "outline") {
      if (this.settings().tool === "rect") {
        const [from] = held.points as [Point];
        held.points = [from, { x: this.cursor.x, y: from.y }, this.cursor, { x: from.x, y: this.cursor.y }];
      } else held.points.push(this.cursor);
      this.drawOutline([...held.points, held.points[0] as Point]);
    }
    this.placeRing();
  }

  private up(event: PointerEvent): void {
    this.fingers.delete(event.pointerId);
    if (this.pinch) {
      if (this.fingers.size < 2) this.pinch = null;
      return;
    }
    this.finish();
  }

  private finish(): void {
    const { held } = this;
    this.held = null;
    if (held?.kind === "stroke") {
      this.past.end(held.box ?? { left: 0, top: 0, right: 0, bottom: 0 });
      this.changed();
    } else if (held?.kind === "outline") {
      this.drawOutline([]);
      const box = held.points.length > 2 ? polygon(this.mask, held.points, held.erase) : { left: 0, top: 0, right: 0, bottom: 0 };
      this.past.end(box);
      this.showAndTell(box);
    }
  }

  /** A second finger: what the first one began was no stroke. */
  private startPinch(): void {
    if (this.held && this.held.kind !== "pan") {
      this.past.drop();
      this.drawOutline([]);
      this.show(whole(this.mask));
    }
    this.held = null;
    const [a, b] = [...this.fingers.values()] as [Point, Point];
    this.pinch = { span: Math.hypot(a.x - b.x, a.y - b.y), middle: { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 }, view: this.view };
  }

  private goOnPinching(): void {
    const [a, b] = [...this.fingers.values()];
    if (!a || !b || !this.pinch) return;
    const { span, middle, view } = this.pinch;
    const zoom = Math.max(0.02, Math.min(MOST_ZOOM, (view.zoom * Math.hypot(a.x - b.x, a.y - b.y)) / Math.max(1, span)));
    const ratio = zoom / view.zoom;
    const at = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    this.moved = true;
    this.look({ zoom, x: at.x - (middle.x - view.x) * ratio, y: at.y - (middle.y - view.y) * ratio });
  }

  /** Painting without a pointer: arrows move the brush, Enter lets it down. True when the key was for the board. */
  key(event: KeyboardEvent): boolean {
    if (event.key === " ") {
      this.spaceDown = true;
      this.placeRing();
      return true;
    }
    const steps: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    const { size } = this.settings();
    if (step) {
      const far = Math.max(1, Math.round(size / (event.shiftKey ? 1 : 4)));
      this.cursor = {
        x: Math.max(0, Math.min(this.mask.width, this.cursor.x + step[0] * far)),
        y: Math.max(0, Math.min(this.mask.height, this.cursor.y + step[1] * far)),
      };
      this.placeRing();
      return true;
    }
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return false;
    this.use(this.cursor, size / 2, false, event.shiftKey);
    this.finish();
    return true;
  }

  private pixels(): Uint8ClampedArray {
    if (!this.pictureBytes) {
      const canvas = document.createElement("canvas");
      canvas.width = this.mask.width;
      canvas.height = this.mask.height;
      const pen = canvas.getContext("2d") as CanvasRenderingContext2D;
      pen.drawImage(this.picture, 0, 0);
      this.pictureBytes = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    }
    return this.pictureBytes;
  }
}
