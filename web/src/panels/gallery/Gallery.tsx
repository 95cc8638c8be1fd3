import "./gallery.css";
import { type KeyboardEvent, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { blobUrl } from "../../protocol/http";
import type { GalleryPicture } from "../../protocol/types";
import { carry } from "../../state/carried";
import { isFavourite, toggleFavourite, useFavourites } from "../../state/favourites";
import { recall, remember, type Seen, useUi } from "../../state/ui";
import { Empty, IconButton } from "../../ui/basics";
import { Icon } from "../../ui/icons";
import { languageNow, t } from "../../words";
import { openGraph } from "../sheet/results";
import { About } from "./About";
import { across, beside, GAP, rowsOf, seen } from "./day";
import { download, reuseSeed } from "./deeds";
import { keyOf, usePictures } from "./pictures";

const SIZE = "weft.gallery";

const seenOf = (picture: GalleryPicture): Seen => ({
  url: blobUrl(picture.blob),
  blob: picture.blob,
  label: [picture.title || t("untitled"), picture.label].filter(Boolean).join(" · "),
  job: picture.job,
  item: picture.item,
});

/** The room for pictures, and how far down one is. */
function areaOf(element: HTMLElement): { width: number; height: number; top: number } {
  const { paddingLeft, paddingRight } = getComputedStyle(element);
  return { width: element.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight), height: element.clientHeight, top: element.scrollTop };
}

/** Every picture that was made, by the day: found, looked at, compared, kept, thrown away, used again. */
export function Gallery() {
  const [search, setSearch] = useState("");
  const [starred, setStarred] = useState(false);
  const [size, setSize] = useState(Number(recall(SIZE)) || 180);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [current, setCurrent] = useState(0);
  const [area, setArea] = useState({ width: 0, height: 0, top: 0 });
  const [dragging, setDragging] = useState(false);
  const favourites = useFavourites((state) => state.blobs);
  const { pictures, loading, more, end, remove } = usePictures(search, starred);
  const box = useRef<HTMLElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const anchor = useRef(0);
  const close = () => useUi.getState().set({ gallery: false });

  const columns = across(area.width, size);
  const cell = Math.floor((area.width - (columns - 1) * GAP) / columns);
  const { rows, height } = useMemo(() => rowsOf(pictures, columns, Math.max(40, cell)), [pictures, columns, cell]);
  const shown = seen(rows, area.top, area.height || 800);
  const at = Math.min(current, Math.max(0, pictures.length - 1));
  const picture = pictures[at];
  const picked = pictures.filter((item) => chosen.has(keyOf(item)));
  const meant = picked.length ? picked : picture ? [picture] : [];

  useLayoutEffect(() => {
    const element = list.current;
    if (!element) return;
    const measure = () => setArea(areaOf(element));
    measure();
    const watch = new ResizeObserver(measure);
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  useEffect(() => box.current?.focus({ preventScroll: true }), []);
  useEffect(() => {
    if (!end && !loading && area.width && height - area.top < 3 * area.height) more();
  }, [end, loading, more, height, area]);

  const reveal = (index: number) => {
    const row = rows.find((item) => item.kind === "pictures" && index >= item.from && index < item.from + item.count);
    const element = list.current;
    if (!row || !element) return;
    if (row.y < element.scrollTop) element.scrollTop = row.y - 40;
    else if (row.y + row.height > element.scrollTop + element.clientHeight) element.scrollTop = row.y + row.height - element.clientHeight + 8;
  };
  const go = (index: number, extend = false) => {
    const next = Math.max(0, Math.min(pictures.length - 1, index));
    setCurrent(next);
    reveal(next);
    if (extend) choose(anchor.current, next);
    else anchor.current = next;
  };
  const choose = (from: number, to: number) => {
    const [low, high] = [Math.min(from, to), Math.max(from, to)];
    setChosen(new Set(pictures.slice(low, high + 1).map(keyOf)));
  };
  const toggle = (index: number) => {
    const item = pictures[index];
    if (!item) return;
    const next = new Set(chosen);
    if (!next.delete(keyOf(item))) next.add(keyOf(item));
    setChosen(next);
    setCurrent(index);
    anchor.current = index;
  };
  const view = (index: number) => useUi.getState().set({ viewing: { pictures: pictures.map(seenOf), at: index } });
  const compare = () => {
    const [a, b] = picked.length > 1 ? picked : [pictures[at], pictures[at + 1]];
    if (!a || !b) return;
    const several = (picked.length > 1 ? picked : [a, b]).map(seenOf);
    useUi.getState().set({ viewing: { pictures: several, at: 0, against: 1 } });
  };
  const star = () => meant.forEach((item) => toggleFavourite(item.blob));
  const discard = () => {
    if (!meant.length) return;
    remove(meant);
    setChosen(new Set());
  };
  const press = (index: number, event: React.MouseEvent) => {
    if (event.shiftKey) return go(index, true);
    if (event.ctrlKey || event.metaKey || picked.length) return toggle(index);
    go(index);
    // Where there is no room for the side, one press looks at it.
    if (window.innerWidth <= 1000) view(index);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement;
    if (event.altKey || target.tagName === "INPUT") {
      if (event.key === "Escape") close();
      if (event.key === "Escape" || (event.key === "ArrowDown" && target.tagName === "INPUT")) {
        event.stopPropagation();
        box.current?.focus();
      }
      return;
    }
    const held = event.ctrlKey || event.metaKey;
    const onControl = target.closest("header, aside") !== null;
    const keys: Record<string, () => void> = held
      ? { a: () => choose(0, pictures.length - 1) }
      : {
          ArrowLeft: () => go(at - 1, event.shiftKey),
          ArrowRight: () => go(at + 1, event.shiftKey),
          ArrowUp: () => go(beside(rows, at, -1), event.shiftKey),
          ArrowDown: () => go(beside(rows, at, 1), event.shiftKey),
          Home: () => go(0, event.shiftKey),
          End: () => go(pictures.length - 1, event.shiftKey),
          " ": () => toggle(at),
          Enter: () => view(at),
          f: star,
          c: compare,
          Delete: discard,
          Backspace: discard,
          d: () => void download(meant.map(seenOf)),
          g: close,
          o: () => picture && void openGraph(picture.job, picture.item).then(close),
          s: () => picture && void reuseSeed(seenOf(picture)),
          "/": () => box.current?.querySelector<HTMLElement>("input[type=search]")?.focus(),
          "+": () => resize(size * 1.2),
          "-": () => resize(size / 1.2),
          Escape: () => (picked.length ? setChosen(new Set()) : close()),
        };
    const found = keys[event.key];
    if (!found || (onControl && (event.key === " " || event.key === "Enter"))) return;
    event.preventDefault();
    event.stopPropagation();
    found();
  };
  const resize = (next: number) => {
    const bounded = Math.round(Math.max(90, Math.min(420, next)));
    setSize(bounded);
    remember(SIZE, String(bounded));
  };

  return (
    <section className={`gallery-view ${dragging ? "away" : ""}`} aria-label={t("Gallery")} tabIndex={-1} ref={box} onKeyDown={onKeyDown}>
      <header>
        <h2>{t("Gallery")}</h2>
        <input
          type="search"
          aria-label={t("Search the pictures")}
          placeholder={t("a prompt, a model, a value…")}
          value={search}
          onChange={(event) => {
            setSearch(event.target.value);
            setCurrent(0);
          }}
        />
        <IconButton icon="star" label={t("Favourites only")} pressed={starred} onClick={() => setStarred(!starred)} />
        <span className="space" />
        {picked.length ? (
          <span className="deeds">
            <b role="status">{t("{n} chosen", { n: picked.length })}</b>
            <button type="button" disabled={picked.length < 2} onClick={compare} title="C">
              {t("Compare")}
            </button>
            <IconButton icon="star" label={t("A favourite (F)")} onClick={star} />
            <IconButton icon="download" label={t("Download (D)")} onClick={() => void download(picked.map(seenOf))} />
            <IconButton icon="trash" label={t("Delete (Del)")} onClick={discard} />
            <IconButton icon="close" label={t("Choose none (Esc)")} onClick={() => setChosen(new Set())} />
          </span>
        ) : null}
        <input type="range" aria-label={t("Size of the pictures")} min={90} max={420} value={size} onChange={(event) => resize(Number(event.target.value))} />
        <IconButton icon="close" label={t("Close {name}", { name: t("Gallery") })} onClick={close} />
      </header>
      <div
        className="pictures"
        ref={list}
        role="listbox"
        aria-multiselectable="true"
        aria-label={t("Pictures")}
        tabIndex={-1}
        onScroll={(event) => setArea(areaOf(event.currentTarget))}
      >
        <div style={{ height, position: "relative" }} role="presentation">
          {shown.map((row) =>
            row.kind === "day" ? (
              <h3 key={row.day} style={{ top: row.y, height: row.height }} role="presentation">
                {dayTitle(row.day)} <span>{row.count}</span>
              </h3>
            ) : (
              <div key={`r${row.from}`} className="line" role="presentation" style={{ top: row.y, height: row.height, gridTemplateColumns: `repeat(${columns}, ${cell}px)` }}>
                {pictures.slice(row.from, row.from + row.count).map((item, index) => (
                  <Thumb
                    key={keyOf(item)}
                    picture={item}
                    size={cell > 256 ? 512 : cell > 128 ? 256 : 128}
                    current={row.from + index === at}
                    chosen={chosen.has(keyOf(item))}
                    starred={isFavourite(favourites, item.blob)}
                    onPress={(event) => press(row.from + index, event)}
                    onOpen={() => view(row.from + index)}
                    onTick={() => toggle(row.from + index)}
                    onDrag={setDragging}
                  />
                ))}
              </div>
            ),
          )}
        </div>
        {!pictures.length && !loading ? (
          <Empty>
            {starred && !search
              ? t("No favourites yet: choose a picture and press F.")
              : search
                ? t("Nothing here has these words.")
                : t("Nothing has run yet. Press Ctrl+Enter, and every result is kept here with its graph.")}
          </Empty>
        ) : null}
      </div>
      {picture ? <About picture={picture} onView={() => view(at)} onDelete={discard} /> : null}
    </section>
  );
}

function Thumb(props: {
  picture: GalleryPicture;
  size: 128 | 256 | 512;
  current: boolean;
  chosen: boolean;
  starred: boolean;
  onPress: (event: React.MouseEvent) => void;
  onOpen: () => void;
  onTick: () => void;
  onDrag: (yes: boolean) => void;
}) {
  const { picture } = props;
  const words = [picture.prompt || picture.title || t("untitled"), picture.label].filter(Boolean).join(" · ");
  return (
    <div className={`thumb-cell ${props.current ? "current" : ""} ${props.chosen ? "chosen" : ""}`} role="presentation">
      <button
        type="button"
        className="shot"
        role="option"
        aria-selected={props.chosen}
        aria-label={`${words}${props.starred ? `, ${t("a favourite")}` : ""}`}
        title={words}
        tabIndex={props.current ? 0 : -1}
        draggable
        onClick={props.onPress}
        onDoubleClick={props.onOpen}
        onDragStart={(event) => {
          carry(event, { kind: "picture", blob: picture.blob, job: picture.job, item: picture.item, label: words });
          setTimeout(() => props.onDrag(true)); // the page may only change when the browser has its picture of what is dragged
        }}
        onDragEnd={() => props.onDrag(false)}
      >
        <img src={blobUrl(picture.blob, props.size)} alt="" draggable={false} decoding="async" className={picture.width < props.size ? "small" : ""} />
        {picture.draft ? <span className="draft">{t("draft")}</span> : null}
        {props.starred ? <span className="star">★</span> : null}
      </button>
      <button type="button" className="tick" tabIndex={-1} aria-hidden="true" onClick={props.onTick}>
        <Icon name="check" size={14} />
      </button>
    </div>
  );
}

function dayTitle(day: string): string {
  const date = new Date(`${day}T12:00:00`);
  const past = Math.round((new Date().setHours(12, 0, 0, 0) - date.getTime()) / 86_400_000);
  if (past === 0) return t("Today");
  if (past === 1) return t("Yesterday");
  return date.toLocaleDateString(languageNow(), { weekday: past < 7 ? "long" : undefined, day: "numeric", month: "long", year: past > 300 ? "numeric" : undefined });
}

