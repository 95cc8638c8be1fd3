import "./viewer.css";
import { type PointerEvent, useEffect, useLayoutEffect, useRef, useState } from "react";
import { locate } from "../document/operations";
import { api } from "../protocol/http";
import type { Change, Json } from "../protocol/types";
import { canvas } from "../state/canvas";
import { documentNow, graphNow } from "../state/document";
import { isFavourite, toggleFavourite, useFavourites } from "../state/favourites";
import { useRun } from "../state/run";
import { type Seen, useUi, type Viewing } from "../state/ui";
import { Dialog, IconButton } from "../ui/basics";
import { t } from "../words";
import { openGraph } from "./sheet/results";

interface Look {
  zoom: number; // 0: as large as the window lets it be
  x: number;
  y: number;
}

const FIT: Look = { zoom: 0, x: 0, y: 0 };

/** A picture at any size; beside a second one with what differs between their graphs; its steps, one by one. */
export function Viewer({ viewing }: { viewing: Viewing }) {
  const { pictures, at, against } = viewing;
  const picture = pictures[at];
  const other = against === undefined ? undefined : pictures[against];
  const [look, setLook] = useState<Look>(FIT);
  const [split, setSplit] = useState(50);
  const [fitted, setFitted] = useState(1);
  const [natural, setNatural] = useState<{ width: number; height: number } | null>(null);
  const [frame, setFrame] = useState<number | null>(null);
  const stage = useRef<HTMLDivElement>(null);
  const image = useRef<HTMLImageElement>(null);
  const drag = useRef<{ x: number; y: number; look: Look; split: boolean } | null>(null);
  const favourites = useFavourites((state) => state.blobs);
  const film = useRun((state) => (viewing.film ? Object.values(state.films.frames).at(-1) : undefined));
  const frameUrl = useFrame(film?.[frame ?? -1]?.picture);
  const close = () => useUi.getState().set({ viewing: null });
  const show = (patch: Partial<Viewing>) => useUi.getState().set({ viewing: { ...viewing, ...patch } });
  const step = (by: number) => {
    setFrame(null);
    show({ at: (at + by + pictures.length) % pictures.length });
  };

  const measure = () => {
    const area = stage.current?.getBoundingClientRect();
    const shown = image.current;
    if (!area || !shown?.naturalWidth || shown.dataset.frame) return; // a step may be smaller than its result
    const { naturalWidth: width, naturalHeight: height } = shown;
    setNatural({ width, height });
    setFitted(Math.min(area.width / width, area.height / height, 8));
  };
  useEffect(() => {
    window.addEventListener("resize", measure);
    return () => window.removeEventListener("resize", measure);
  }, []);
  if (!picture) return null;

  const zoom = look.zoom || fitted;
  const zoomTo = (next: number, about?: { x: number; y: number }) => {
    const bounded = Math.max(0.05, Math.min(32, next));
    const ratio = bounded / zoom;
    const centre = about ?? { x: 0, y: 0 };
    setLook({ zoom: bounded, x: centre.x - (centre.x - look.x) * ratio, y: centre.y - (centre.y - look.y) * ratio });
  };
  const fromMiddle = (event: { clientX: number; clientY: number }) => {
    const area = stage.current?.getBoundingClientRect();
    return { x: event.clientX - (area?.left ?? 0) - (area?.width ?? 0) / 2, y: event.clientY - (area?.top ?? 0) - (area?.height ?? 0) / 2 };
  };
  const toggleSize = (about?: { x: number; y: number }) => (look.zoom ? setLook(FIT) : zoomTo(Math.abs(fitted - 1) < 0.01 ? 2 : 1, about));
  const placeSplit = (event: PointerEvent) => {
    const area = image.current?.getBoundingClientRect();
    if (area) setSplit(Math.max(0, Math.min(100, ((event.clientX - area.left) / area.width) * 100)));
  };
  const paint = () => {
    const { node } = picture;
    if (node) useUi.getState().set({ viewing: null, painting: { node, title: picture.label, url: picture.url } });
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target as HTMLElement).tagName === "INPUT") return;
    const keys: Record<string, () => void> = {
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      Home: () => show({ at: 0 }),
      End: () => show({ at: pictures.length - 1 }),
      "1": () => zoomTo(1),
      "0": () => setLook(FIT),
      ".": () => setLook(FIT),
      "+": () => zoomTo(zoom * 1.25),
      "=": () => zoomTo(zoom * 1.25),
      "-": () => zoomTo(zoom / 1.25),
      c: () => show({ against: other ? undefined : pictures.length > 1 ? (at + 1) % pictures.length : undefined }),
      f: () => picture.blob && toggleFavourite(picture.blob),
      g: () => picture.job && void openGraph(picture.job, picture.item),
      m: paint,
    };
    const found = keys[event.key.toLowerCase()] ?? keys[event.key];
    if (!found) return;
    event.preventDefault();
    event.stopPropagation();
    found();
  };
  const transform = `translate(-50%, -50%) translate(${look.x}px, ${look.y}px) scale(${zoom})`;
  const url = frameUrl ?? picture.url;
  return (
    <Dialog label={picture.label} className="viewer" onClose={close}>
      <div className="viewer-body" onKeyDown={onKeyDown}>
        <header>
          <span className="name">
            {picture.label}
            {other ? ` | ${other.label}` : pictures.length > 1 ? ` · ${at + 1} / ${pictures.length}` : ""}
          </span>
          <button type="button" title={t("Whole picture (0), 100 % (1)")} onClick={() => toggleSize()}>
            {Math.round(zoom * 100)} %
          </button>
          {pictures.length > 1 ? (
            <button type="button" aria-pressed={!!other} onClick={() => show({ against: other ? undefined : (at + 1) % pictures.length })} title="C">
              {t("Compare")}
            </button>
          ) : null}
          {picture.job ? (
            <button type="button" onClick={() => void openGraph(picture.job ?? "", picture.item)} title="G">
              {t("Open its graph")}
            </button>
          ) : null}
          {picture.node && graphNow().nodes[picture.node] ? (
            <button type="button" onClick={paint} title="M">
              {t("Paint a mask")}
            </button>
          ) : null}
          {picture.blob ? (
            <IconButton
              icon="star"
              label={isFavourite(favourites, picture.blob) ? t("No favourite any more (F)") : t("A favourite (F)")}
              pressed={isFavourite(favourites, picture.blob)}
              onClick={() => toggleFavourite(picture.blob ?? "")}
            />
          ) : null}
          <a href={picture.url} target="_blank" rel="noreferrer" className="icon-button" aria-label={t("Open in a tab of its own")} title={t("Open in a tab of its own")}>
            ↗
          </a>
          <a href={picture.url} download={`${picture.label}.png`}>
            {t("Download")}
          </a>
          <IconButton icon="close" label={t("Close")} onClick={close} />
        </header>
        <div
          className={`stage ${look.zoom ? "held" : ""}`}
          ref={stage}
          tabIndex={-1}
          onWheel={(event) => zoomTo(zoom * Math.exp(-event.deltaY * 0.0015), fromMiddle(event))}
          onDoubleClick={(event) => toggleSize(fromMiddle(event))}
          onPointerDown={(event) => {
            if (event.button) return;
            event.currentTarget.setPointerCapture(event.pointerId);
            drag.current = { x: event.clientX, y: event.clientY, look, split: !!other && !look.zoom };
            if (drag.current.split) placeSplit(event);
          }}
          onPointerMove={(event) => {
            const held = drag.current;
            if (!held) return;
            if (held.split) placeSplit(event);
            else if (held.look.zoom) setLook({ ...held.look, x: held.look.x + event.clientX - held.x, y: held.look.y + event.clientY - held.y });
          }}
          onPointerUp={(event) => {
            const held = drag.current;
            drag.current = null;
            const far = held ? event.clientX - held.x : 0;
            // A swipe goes on to the next picture.
            if (event.pointerType === "touch" && held && !held.look.zoom && !held.split && Math.abs(far) > 60) step(far > 0 ? -1 : 1);
          }}
        >
          <img ref={image} src={url} alt={picture.label} style={{ transform, ...natural }} className={zoom >= 8 ? "pixels" : ""} data-frame={frameUrl ? "yes" : undefined} draggable={false} onLoad={measure} />
          {other ? (
            <>
              <img className={zoom >= 8 ? "over pixels" : "over"} src={other.url} alt={other.label} draggable={false} style={{ transform, clipPath: `inset(0 0 0 ${split}%)`, ...natural }} />
              <Divider image={image} split={split} at={transform} />
            </>
          ) : null}
          {pictures.length > 1 && !other ? (
            <>
              <button type="button" className="turn left" aria-label={t("The picture before (←)")} onClick={() => step(-1)}>
                ‹
              </button>
              <button type="button" className="turn right" aria-label={t("The next picture (→)")} onClick={() => step(1)}>
                ›
              </button>
            </>
          ) : null}
        </div>
        {other ? (
          <input type="range" aria-label={t("Compare")} min={0} max={100} value={split} onChange={(event) => setSplit(Number(event.target.value))} />
        ) : film && film.length > 1 ? (
          <label className="film">
            <span>{frame === null ? t("result") : t("step {done} of {total}", { done: film[frame]?.done ?? 0, total: film[frame]?.total ?? 0 })}</span>
            <input
              type="range"
              aria-label={t("Steps")}
              min={0}
              max={film.length}
              value={frame ?? film.length}
              onChange={(event) => setFrame(Number(event.target.value) === film.length ? null : Number(event.target.value))}
            />
          </label>
        ) : null}
        {other ? <Differences a={picture} b={other} /> : null}
      </div>
    </Dialog>
  );
}

/** An address for a step of the film; the one before is given back. */
function useFrame(blob: Blob | undefined): string | null {
  const [held, setHeld] = useState<{ blob: Blob; url: string } | null>(null);
  useEffect(() => {
    if (!blob) return;
    const url = URL.createObjectURL(blob);
    // eslint-disable-next-line react-hooks/set-state-in-effect -- the address is made here and given back here
    setHeld({ blob, url });
    return () => URL.revokeObjectURL(url);
  }, [blob]);
  return blob && held?.blob === blob ? held.url : null;
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

const worded = (value: Json): string => (value === null || value === undefined ? "–" : typeof value === "string" ? `“${value}”` : JSON.stringify(value));

/** In what the graphs of two results differ; a row leads to its node in the open graph. */
function Differences({ a, b }: { a: Seen; b: Seen }) {
  const [held, setHeld] = useState<{ of: string; changes: Change[] } | null>(null);
  const of = a.job && b.job ? `${a.job} ${a.item ?? ""} ${b.job} ${b.item ?? ""}` : "";
  useEffect(() => {
    if (!a.job || !b.job) return;
    let gone = false;
    api.diff({ job: a.job, item: a.item }, { job: b.job, item: b.item }).then(
      ({ changes }) => !gone && setHeld({ of, changes }),
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, [a, b, of]);
  if (!of || held?.of !== of) return null;
  const nodeOf = (what: string) => {
    const path = what.split(/[. ]/)[0] ?? "";
    return locate(documentNow(), path)[1];
  };
  const go = (what: string) => {
    const node = nodeOf(what);
    if (!graphNow().nodes[node]) return;
    useUi.getState().set({ viewing: null, sheet: null, selected: [node] });
    canvas().fit([node]);
  };
  if (!held.changes.length) return <p className="same">{t("Their graphs are equal.")}</p>;
  return (
    <table className="differences" aria-label={t("In what the graphs differ")}>
      <tbody>
        {held.changes.map((change) => (
          <tr key={change.what}>
            <th scope="row">
              {graphNow().nodes[nodeOf(change.what)] ? (
                <button type="button" onClick={() => go(change.what)} title={t("Show it in the graph")}>
                  {change.what}
                </button>
              ) : (
                change.what
              )}
            </th>
            <td>{worded(change.before)}</td>
            <td>→</td>
            <td>{worded(change.after)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
