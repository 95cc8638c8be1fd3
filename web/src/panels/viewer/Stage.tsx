import { type PointerEvent, useEffect, useLayoutEffect, useRef, useState } from "react";
import { t } from "../../words";

export interface Look {
  zoom: number; // 0: as large as the window lets it be
  x: number;
  y: number;
}

export const FIT: Look = { zoom: 0, x: 0, y: 0 };

/** How two pictures are held against each other. */
export type Mode = "slider" | "side" | "difference" | "blink";

export interface Shown {
  url: string;
  label: string;
}

export interface Hold {
  look: Look;
  zoom: number;
  setLook(look: Look): void;
  zoomTo(next: number, about?: { x: number; y: number }): void;
  toggleSize(about?: { x: number; y: number }): void;
  fit(size: { width: number; height: number }, area: { width: number; height: number }): void;
}

interface StageProps {
  hold: Hold;
  picture: Shown;
  other: Shown | null;
  mode: Mode;
  /** Of the slider, the share of the first picture in percent; of a difference, how many times it is made brighter. */
  split: number;
  gain: number;
  /** In blinking: the second picture is on. */
  second: boolean;
  /** A step on the way, not the result: it may be smaller, and is no measure. */
  frame: boolean;
  several: boolean;
  onSplit(share: number): void;
  onStep(by: number): void;
}

const spread = (touches: Map<number, { x: number; y: number }>): { length: number; x: number; y: number } => {
  const [a, b] = [...touches.values()] as [{ x: number; y: number }, { x: number; y: number }];
  return { length: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
};

/** The picture, moved and zoomed with wheel, drag and two fingers; a second one over or beside it moves along. */
export function Stage(props: StageProps) {
  const { hold, picture, other, mode, split, several } = props;
  const { look, zoom } = hold;
  const stage = useRef<HTMLDivElement>(null);
  const image = useRef<HTMLImageElement>(null);
  const drag = useRef<{ x: number; y: number; look: Look; split: boolean } | null>(null);
  const touches = useRef(new Map<number, { x: number; y: number }>());
  const pinch = useRef<{ length: number; zoom: number } | null>(null);
  const [natural, setNatural] = useState<{ width: number; height: number } | null>(null);
  const beside = !!other && mode === "side";

  const measure = () => {
    const area = image.current?.closest(".pane")?.getBoundingClientRect();
    const shown = image.current;
    if (!area || !shown?.naturalWidth || shown.dataset.frame) return; // a step may be smaller than its result
    const size = { width: shown.naturalWidth, height: shown.naturalHeight };
    setNatural(size);
    hold.fit(size, area);
  };
  const latest = useRef(measure);
  useLayoutEffect(() => {
    latest.current = measure;
  });
  useLayoutEffect(() => latest.current(), [beside]);
  useEffect(() => {
    if (!stage.current) return;
    const watch = new ResizeObserver(() => latest.current());
    watch.observe(stage.current);
    return () => watch.disconnect();
  }, []);

  const fromMiddle = (event: { clientX: number; clientY: number; target: EventTarget }) => {
    const pane = (event.target as HTMLElement).closest(".pane") ?? stage.current;
    const area = pane?.getBoundingClientRect();
    return { x: event.clientX - (area?.left ?? 0) - (area?.width ?? 0) / 2, y: event.clientY - (area?.top ?? 0) - (area?.height ?? 0) / 2 };
  };
  const placeSplit = (event: PointerEvent) => {
    const area = image.current?.getBoundingClientRect();
    if (area) props.onSplit(Math.max(0, Math.min(100, ((event.clientX - area.left) / area.width) * 100)));
  };
  const transform = `translate(-50%, -50%) translate(${look.x}px, ${look.y}px) scale(${zoom})`;
  const pixels = zoom >= 8 ? "pixels" : "";
  const over = !other || beside ? null : (
    <img
      className={`over ${pixels}`}
      src={other.url}
      alt={other.label}
      draggable={false}
      style={{
        transform,
        ...natural,
        ...(mode === "slider" ? { clipPath: `inset(0 0 0 ${split}%)` } : {}),
        ...(mode === "difference" ? { mixBlendMode: "difference" as const } : {}),
        ...(mode === "blink" ? { visibility: props.second ? ("visible" as const) : ("hidden" as const) } : {}),
      }}
    />
  );
  return (
    <div
      className={`stage ${look.zoom ? "held" : ""} ${beside ? "two" : ""}`}
      ref={stage}
      tabIndex={-1}
      onWheel={(event) => hold.zoomTo(zoom * Math.exp(-event.deltaY * 0.0015), fromMiddle(event))}
      onDoubleClick={(event) => hold.toggleSize(fromMiddle(event))}
      onPointerDown={(event) => {
        if (event.button || (event.target as HTMLElement).closest("button")) return;
        const middle = fromMiddle(event);
        event.currentTarget.setPointerCapture(event.pointerId);
        touches.current.set(event.pointerId, middle);
        if (touches.current.size === 2) {
          pinch.current = { length: spread(touches.current).length, zoom };
          drag.current = null;
          return;
        }
        drag.current = { x: event.clientX, y: event.clientY, look, split: !!other && mode === "slider" && !look.zoom };
        if (drag.current.split) placeSplit(event);
      }}
      onPointerMove={(event) => {
        if (touches.current.has(event.pointerId)) touches.current.set(event.pointerId, fromMiddle(event));
        if (pinch.current && touches.current.size === 2) {
          const now = spread(touches.current);
          hold.zoomTo((pinch.current.zoom * now.length) / Math.max(1, pinch.current.length), now);
          return;
        }
        const held = drag.current;
        if (!held) return;
        if (held.split) placeSplit(event);
        else if (held.look.zoom) hold.setLook({ ...held.look, x: held.look.x + event.clientX - held.x, y: held.look.y + event.clientY - held.y });
      }}
      onPointerCancel={(event) => {
        touches.current.delete(event.pointerId);
        drag.current = pinch.current = null;
      }}
      onPointerUp={(event) => {
        touches.current.delete(event.pointerId);
        if (pinch.current) {
          if (!touches.current.size) pinch.current = null;
          return;
        }
        const held = drag.current;
        drag.current = null;
        const far = held ? event.clientX - held.x : 0;
        // A swipe goes on to the next picture.
        if (event.pointerType === "touch" && held && !held.look.zoom && !held.split && Math.abs(far) > 60) props.onStep(far > 0 ? -1 : 1);
      }}
    >
      <div className="pane" style={mode === "difference" && other ? { filter: `brightness(${props.gain})` } : undefined}>
        <img ref={image} src={picture.url} alt={picture.label} style={{ transform, ...natural }} className={pixels} data-frame={props.frame ? "yes" : undefined} draggable={false} onLoad={measure} />
        {over}
      </div>
      {beside ? (
        <div className="pane">
          <img src={other.url} alt={other.label} style={{ transform, ...natural }} className={pixels} draggable={false} />
        </div>
      ) : null}
      {other && mode === "slider" ? <Divider image={image} split={split} at={transform} /> : null}
      {several && !other ? (
        <>
          <button type="button" className="turn left" aria-label={t("The picture before (←)")} onClick={() => props.onStep(-1)}>
            ‹
          </button>
          <button type="button" className="turn right" aria-label={t("The next picture (→)")} onClick={() => props.onStep(1)}>
            ›
          </button>
        </>
      ) : null}
    </div>
  );
}

/** The line between two pictures that are compared. */
function Divider({ image, split, at }: { image: React.RefObject<HTMLImageElement | null>; split: number; at: string }) {
  const line = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const area = image.current?.getBoundingClientRect();
    const stage = line.current?.parentElement?.getBoundingClientRect();
    if (!area || !stage || !line.current) return;
    line.current.style.left = `${area.left - stage.left + (area.width * split) / 100}px`;
    line.current.style.top = `${area.top - stage.top}px`;
    line.current.style.height = `${area.height}px`;
  }, [image, split, at]);
  return <span className="divider" ref={line} aria-hidden="true" />;
}
