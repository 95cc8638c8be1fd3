import "./viewer.css";
import { useEffect, useState } from "react";
import { api } from "../../protocol/http";
import type { WorkflowRow } from "../../protocol/types";
import { graphNow } from "../../state/document";
import { isFavourite, toggleFavourite, useFavourites } from "../../state/favourites";
import { useRun } from "../../state/run";
import { recall, remember, useUi, type Viewing } from "../../state/ui";
import { Dialog, IconButton } from "../../ui/basics";
import { Menu, type MenuEntry } from "../../ui/Menu";
import { t, type Text } from "../../words";
import { MadeWith, useGraph } from "../gallery/About";
import { asInput, canCopy, copy, download, inpaint, loaders, reuseSeed, sendTo } from "../gallery/deeds";
import { openGraph } from "../sheet/results";
import { Differences } from "./Differences";
import { FIT, type Hold, type Look, type Mode, Stage } from "./Stage";

const MODES: [Mode, Text][] = [
  ["slider", "Slider"],
  ["side", "Side by side"],
  ["difference", "Difference"],
  ["blink", "Blink"],
];
const BLINK = 700; // ms
const INFO = "weft.viewer.info";

/** A picture at any size; beside a second one with what differs between their graphs; its steps, one by one. */
export function Viewer({ viewing }: { viewing: Viewing }) {
  const { pictures, at, against } = viewing;
  const picture = pictures[at];
  const other = against === undefined ? undefined : pictures[against];
  const [look, setLook] = useState<Look>(FIT);
  const [fitted, setFitted] = useState(1);
  const [natural, setNatural] = useState<{ width: number; height: number } | null>(null);
  const [mode, setMode] = useState<Mode>("slider");
  const [split, setSplit] = useState(50);
  const [gain, setGain] = useState(4);
  const [second, setSecond] = useState(false);
  const [frame, setFrame] = useState<number | null>(null);
  const [info, setInfo] = useState(recall(INFO) === "on");
  const [menu, setMenu] = useState<{ x: number; y: number; rows: MenuEntry[] } | null>(null);
  const favourites = useFavourites((state) => state.blobs);
  const film = useRun((state) => (viewing.film ? Object.values(state.films.frames).at(-1) : undefined));
  const frameUrl = useFrame(film?.[frame ?? -1]?.picture);
  const workflow = useGraph(info && picture ? picture.job : undefined, picture?.item);
  const close = () => useUi.getState().set({ viewing: null });
  const show = (patch: Partial<Viewing>) => useUi.getState().set({ viewing: { ...viewing, ...patch } });
  const blinking = !!other && mode === "blink";
  useEffect(() => {
    if (!blinking || window.matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const timer = setInterval(() => setSecond((held) => !held), BLINK);
    return () => clearInterval(timer);
  }, [blinking]);
  if (!picture) return null;

  const step = (by: number) => {
    setFrame(null);
    show({ at: (at + by + pictures.length) % pictures.length });
  };
  const zoom = look.zoom || fitted;
  const hold: Hold = {
    look,
    zoom,
    setLook,
    zoomTo: (next, about = { x: 0, y: 0 }) => {
      const bounded = Math.max(0.05, Math.min(32, next));
      const ratio = bounded / zoom;
      setLook({ zoom: bounded, x: about.x - (about.x - look.x) * ratio, y: about.y - (about.y - look.y) * ratio });
    },
    toggleSize: (about) => (look.zoom ? setLook(FIT) : hold.zoomTo(Math.abs(fitted - 1) < 0.01 ? 2 : 1, about)),
    fit: (size, area) => {
      setNatural(size);
      setFitted(Math.min(area.width / size.width, area.height / size.height, 8));
    },
  };
  const paint = () => {
    const { node } = picture;
    if (node && graphNow().nodes[node]) useUi.getState().set({ viewing: null, painting: { node, title: picture.label, url: picture.url } });
    else void inpaint(picture);
  };
  const compare = (next?: Mode) => {
    if (!other) show({ against: pictures.length > 1 ? (at + 1) % pictures.length : undefined });
    else if (!next) show({ against: undefined });
    if (next) setMode(next);
  };
  const toggleInfo = () => {
    remember(INFO, info ? "off" : "on");
    setInfo(!info);
  };
  const leave = () => useUi.getState().set({ viewing: null, gallery: false, sheet: null });
  const send = async (at: { x: number; y: number }) => {
    const rows: MenuEntry[] = loaders({ weft: 1, ...graphNow() }).map((item) => ({
      label: t("Into “{title}” ({node})", { title: item.title, node: item.node }),
      run: () => void asInput(picture, undefined, item.node).then(leave),
    }));
    rows.push({ label: t("A new “Load image” in the open graph"), run: () => void asInput(picture).then((node) => node && leave()) }, null);
    setMenu({ ...at, rows });
    const found = await api.workflows().catch((): WorkflowRow[] => []);
    const title = (name: string) => found.find((row) => row.name === name)?.title;
    for (const name of ["template:image_to_image", "template:controlnet_edges", "template:tiled_upscale", "template:outpaint"]) {
      const label = title(name);
      if (label) rows.push({ label, run: () => void sendTo(name, picture) });
    }
    rows.push({ label: t("Paint a mask and inpaint"), keys: "M", run: paint });
    setMenu((held) => held && { ...at, rows: [...rows] });
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    if (menu || event.altKey || (event.target as HTMLElement).tagName === "INPUT") return;
    if (event.ctrlKey || event.metaKey) {
      if (event.key.toLowerCase() !== "c" || !canCopy() || window.getSelection()?.toString()) return;
      event.preventDefault();
      void copy(picture);
      return;
    }
    const keys: Record<string, () => void> = {
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      Home: () => show({ at: 0 }),
      End: () => show({ at: pictures.length - 1 }),
      "1": () => hold.zoomTo(1),
      "0": () => setLook(FIT),
      ".": () => setLook(FIT),
      "+": () => hold.zoomTo(zoom * 1.25),
      "=": () => hold.zoomTo(zoom * 1.25),
      "-": () => hold.zoomTo(zoom / 1.25),
      " ": () => blinking && setSecond(!second),
      b: () => compare("blink"),
      c: () => compare(),
      d: () => void download([picture]),
      f: () => picture.blob && toggleFavourite(picture.blob),
      g: () => picture.job && void openGraph(picture.job, picture.item),
      o: () => picture.job && void openGraph(picture.job, picture.item),
      i: toggleInfo,
      m: paint,
      s: () => void reuseSeed(picture),
      v: () => other && setMode((MODES[(MODES.findIndex(([name]) => name === mode) + 1) % MODES.length] as [Mode, Text])[0]),
      x: () => other && against !== undefined && show({ at: against, against: at }),
    };
    if (event.key === " " && !blinking) return;
    const found = keys[event.key.toLowerCase()] ?? keys[event.key];
    if (!found) return;
    event.preventDefault();
    event.stopPropagation();
    found();
  };
  return (
    <Dialog label={picture.label} className="viewer" onClose={close}>
      <div className="viewer-body" onKeyDown={onKeyDown}>
        <header>
          <span className="name">
            {other ? (
              <>
                <b className={blinking && second ? "dim" : ""}>{picture.label}</b> | <b className={blinking && !second ? "dim" : ""}>{other.label}</b>
              </>
            ) : (
              `${picture.label}${pictures.length > 1 ? ` · ${at + 1} / ${pictures.length}` : ""}`
            )}
          </span>
          <button type="button" title={t("Whole picture (0), 100 % (1)")} onClick={() => hold.toggleSize()}>
            {Math.round(zoom * 100)} %
          </button>
          {pictures.length > 1 ? (
            <button type="button" aria-pressed={!!other} onClick={() => compare()} title="C">
              {t("Compare")}
            </button>
          ) : null}
          {other ? (
            <span className="ways" role="group" aria-label={t("How they are compared (V)")}>
              {MODES.map(([name, words]) => (
                <button type="button" key={name} aria-pressed={mode === name} onClick={() => setMode(name)}>
                  {t(words)}
                </button>
              ))}
            </span>
          ) : null}
          {picture.job ? (
            <>
              <button type="button" onClick={() => void openGraph(picture.job ?? "", picture.item)} title="G">
                {t("Open its graph")}
              </button>
              <button type="button" onClick={() => void reuseSeed(picture)} title="S">
                {t("Reuse this seed")}
              </button>
            </>
          ) : null}
          <button
            type="button"
            aria-haspopup="menu"
            onClick={(event) => {
              const box = event.currentTarget.getBoundingClientRect();
              void send({ x: box.left, y: box.bottom + 4 });
            }}
          >
            {t("Send to…")}
          </button>
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
          {picture.job ? <IconButton icon="form" label={t("What made it (I)")} pressed={info} onClick={toggleInfo} /> : null}
          {canCopy() ? <IconButton icon="copy" label={t("Copy the picture (Ctrl+C)")} onClick={() => void copy(picture)} /> : null}
          <IconButton icon="download" label={t("Download (D)")} onClick={() => void download([picture])} />
          <a href={picture.url} target="_blank" rel="noreferrer" className="icon-button" aria-label={t("Open in a tab of its own")} title={t("Open in a tab of its own")}>
            ↗
          </a>
          <IconButton icon="close" label={t("Close")} onClick={close} />
        </header>
        <div className="between">
          <Stage
            hold={hold}
            picture={{ url: frameUrl ?? picture.url, label: picture.label }}
            other={other ?? null}
            mode={mode}
            split={split}
            gain={gain}
            second={second}
            frame={!!frameUrl}
            several={pictures.length > 1}
            onSplit={setSplit}
            onStep={step}
          />
          {info && picture.job ? (
            <aside className="made-with" aria-label={t("What made it (I)")}>
              {natural ? (
                <p className="quiet">
                  {natural.width} × {natural.height}
                </p>
              ) : null}
              <MadeWith workflow={workflow} />
            </aside>
          ) : null}
        </div>
        {other && mode === "slider" ? (
          <input type="range" aria-label={t("Compare")} min={0} max={100} value={split} onChange={(event) => setSplit(Number(event.target.value))} />
        ) : other && mode === "difference" ? (
          <label className="film">
            <span>{t("{n} times brighter", { n: gain })}</span>
            <input type="range" aria-label={t("How much brighter the difference is")} min={1} max={16} value={gain} onChange={(event) => setGain(Number(event.target.value))} />
          </label>
        ) : !other && film && film.length > 1 ? (
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
        {menu ? <Menu label={t("Send to…")} at={menu} rows={menu.rows} onClose={() => setMenu(null)} /> : null}
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
