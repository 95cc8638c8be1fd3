import "./painter.css";
import { useEffect, useMemo, useRef, useState } from "react";
import { parseEnd } from "../../document/wires";
import { api, blobUrl, fileUrl } from "../../protocol/http";
import { failed, run } from "../../state/actions";
import { useCatalogue } from "../../state/catalogue";
import { canvas } from "../../state/canvas";
import { documentNow, documentOf, graphNow, perform, scopeNow, useDocument } from "../../state/document";
import { useRun } from "../../state/run";
import { complain, type Painting, say, useUi } from "../../state/ui";
import { Dialog, IconButton } from "../../ui/basics";
import { Icon, type IconName } from "../../ui/icons";
import { Board, type Settings, type Tool } from "./board";
import { covered } from "./mask";
import { placeMask, targetsFor } from "./targets";
import { t, type Text } from "../../words";

const TOOLS: { id: Tool; icon: IconName; name: Text; key: string }[] = [
  { id: "brush", icon: "brush", name: "Brush", key: "B" },
  { id: "erase", icon: "eraser", name: "Eraser", key: "E" },
  { id: "lasso", icon: "lasso", name: "Outline", key: "L" },
  { id: "rect", icon: "rect", name: "Rectangle", key: "R" },
  { id: "fill", icon: "bucket", name: "Fill up to the paint", key: "G" },
  { id: "wand", icon: "wand", name: "Fill what has this colour", key: "W" },
];
const COLOURS: [number, number, number][] = [
  [255, 64, 96],
  [64, 160, 255],
  [255, 210, 0],
  [20, 20, 24],
];

const loadImage = (url: string): Promise<HTMLImageElement> =>
  new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error(t("the picture cannot be shown: run the node first")));
    image.src = url;
  });

const percent = (share: number): string => `${Math.round(share * 100)} %`;

function Slide(props: { label: string; value: number; low?: number; high?: number; step?: number; text: string; onChange: (value: number) => void }) {
  const { label, value, low = 0, high = 1, step = 0.05, text } = props;
  return (
    <label className="slide" title={label}>
      <span>{label}</span>
      <input type="range" aria-label={label} min={low} max={high} step={step} value={value} onChange={(event) => props.onChange(Number(event.target.value))} />
      <output>{text}</output>
    </label>
  );
}

/** Paint what is to change, over any picture of the graph. */
export function Painter({ painting }: { painting: Painting }) {
  const document_ = useDocument(documentOf);
  const specs = useCatalogue((state) => state.specs);
  const pictures = useRun((state) => state.run.pictures);
  const [targets] = useState(() => targetsFor({ document: document_, scope: scopeNow(), specs }, painting.node));
  const [chosen, setChosen] = useState(targets[0]?.id ?? "");
  const target = targets.find((item) => item.id === chosen) ?? targets[0];
  const [settings, setSettings] = useState<Settings>({ tool: "brush", size: 48, hardness: 0.8, opacity: 0.6, tolerance: 24, colour: COLOURS[0] as Settings["colour"] });
  const [told, setTold] = useState({ zoom: 1, undo: false, redo: false, share: 0 });
  const [busy, setBusy] = useState(false);
  const [ready, setReady] = useState(false);
  const live = useRef(settings);
  const board = useRef<Board | null>(null);
  const stage = useRef<HTMLDivElement>(null);
  const sheet = useRef<HTMLDivElement>(null);
  const overlay = useRef<HTMLCanvasElement>(null);
  const ring = useRef<HTMLDivElement>(null);
  const outline = useRef<SVGPolylineElement>(null);
  const [size, setSize] = useState({ width: 1, height: 1 });

  const change = (patch: Partial<Settings>) => {
    live.current = { ...live.current, ...patch };
    setSettings(live.current);
    if (patch.colour || patch.opacity !== undefined) board.current?.repaint();
    else board.current?.refresh();
  };
  const resize = (steps: number) => {
    const next = live.current.size * 1.15 ** steps;
    change({ size: Math.max(1, Math.min(2048, steps > 0 ? Math.ceil(next) : Math.floor(next))) });
  };

  useEffect(() => {
    let gone = false;
    const start = async () => {
      const picture = await loadImage(painting.url);
      if (gone || !stage.current || !sheet.current || !overlay.current || !ring.current || !outline.current) return;
      const parts = { stage: stage.current, sheet: sheet.current, overlay: overlay.current, ring: ring.current, outline: outline.current };
      setSize({ width: picture.naturalWidth, height: picture.naturalHeight });
      const made: Board = new Board(parts, picture, () => live.current, () => {
        if (board.current) setTold({ zoom: made.zoom, undo: made.canUndo, redo: made.canRedo, share: covered(made.mask) });
      });
      board.current = made;
      made.resize = resize;
      // A brush that suits the picture: an eighth of its shorter side.
      change({ size: Math.max(4, Math.round(Math.min(picture.naturalWidth, picture.naturalHeight) / 8)) });
      made.fit();
      const again = targets[0]?.update && graphNow().nodes[targets[0].update]?.inputs.name;
      const begin = painting.begin ?? (typeof again === "string" && again ? fileUrl("input", again) : null);
      if (begin) {
        const before = await loadImage(begin);
        if (!gone) made.begin(before);
        if (painting.begin) URL.revokeObjectURL(painting.begin);
      }
      stage.current.focus({ preventScroll: true });
      setReady(true);
    };
    start().catch((error: unknown) => {
      failed(error instanceof Error ? error.message : error);
    });
    return () => {
      gone = true;
      board.current?.close();
      board.current = null;
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- one board for one painting
  }, [painting]);

  const close = () => useUi.getState().set({ painting: null });
  const leave = () => {
    close();
    // What was painted is not lost to one wrong key.
    if (board.current?.canUndo) {
      const kept = board.current;
      void kept.png().then((blob) => {
        const url = URL.createObjectURL(blob);
        say(t("the mask was not kept"), { label: t("paint on"), run: () => useUi.getState().set({ painting: { ...painting, begin: url } }) });
      });
    }
  };

  const save = async (thenRun: boolean) => {
    const made = board.current;
    if (!made || !target || busy) return;
    if (!covered(made.mask)) return complain(t("nothing is painted: mark what is to change"));
    setBusy(true);
    try {
      const blob = await made.png();
      const kept = await api.upload(blob, `mask of ${painting.node}.png`);
      const command = placeMask({ document: documentNow(), scope: scopeNow(), specs }, painting.node, target, kept.name);
      perform(command);
      useDocument.getState().settle();
      useUi.getState().set({ painting: null, selected: [command.name] });
      if (target.id === "alone") canvas().fit([command.name]);
      if (thenRun) void run();
      else say(target.id === "alone" ? t("the mask stands beside the picture: draw a wire from it") : t("the mask is in the graph"), { label: t("run"), run: () => void run() });
    } catch (error) {
      failed(error);
      setBusy(false);
    }
  };

  // What the mask's source shows now can be where painting begins.
  const source = useMemo(() => {
    if (!target?.instead) return null;
    const held = pictures[parseEnd(target.instead).node]?.[0];
    return held && graphNow().nodes[parseEnd(target.instead).node]?.type !== "image.load" ? blobUrl(held.blob) : null;
  }, [target, pictures]);

  const onKeyDown = (event: React.KeyboardEvent) => {
    const inField = /^(INPUT|SELECT)$/.test((event.target as HTMLElement).tagName);
    const held = board.current;
    const control = event.ctrlKey || event.metaKey;
    const done = () => {
      event.preventDefault();
      event.stopPropagation();
    };
    if (control && event.key === "Enter") {
      done();
      return void save(true);
    }
    if (control && event.key.toLowerCase() === "z") {
      done();
      return event.shiftKey ? held?.redo() : held?.undo();
    }
    if (control && event.key.toLowerCase() === "y") {
      done();
      return held?.redo();
    }
    if (control || event.altKey || inField) return;
    const keys: Record<string, () => void> = {
      "[": () => resize(-1),
      "]": () => resize(1),
      "{": () => change({ hardness: Math.max(0, Math.round((live.current.hardness - 0.1) * 10) / 10) }),
      "}": () => change({ hardness: Math.min(1, Math.round((live.current.hardness + 0.1) * 10) / 10) }),
      x: () => change({ tool: live.current.tool === "erase" ? "brush" : "erase" }),
      i: () => held?.invert(),
      delete: () => held?.clear(),
      backspace: () => held?.clear(),
      ".": () => held?.fit(),
      "0": () => held?.fit(),
      "1": () => held?.zoomTo(1),
      "+": () => held?.zoomTo(held.zoom * 1.25),
      "=": () => held?.zoomTo(held.zoom * 1.25),
      "-": () => held?.zoomTo(held.zoom / 1.25),
    };
    for (const tool of TOOLS) keys[tool.key.toLowerCase()] = () => change({ tool: tool.id });
    const found = keys[event.key.toLowerCase()];
    if (found) {
      done();
      found();
    } else if (event.target === stage.current && held?.key(event.nativeEvent)) done();
    else if (event.key !== "Escape" && event.key !== "Tab") event.stopPropagation();
  };

  return (
    <Dialog label={t("Paint a mask over {title}", { title: painting.title })} className="painter" onClose={leave}>
      <div className="painter-body" onKeyDown={onKeyDown}>
        <div className="tools" role="toolbar" aria-label={t("Tools")}>
          {TOOLS.map((tool) => (
            <IconButton key={tool.id} icon={tool.icon} label={`${t(tool.name)} (${tool.key})`} pressed={settings.tool === tool.id} onClick={() => change({ tool: tool.id })} />
          ))}
          <span className="rule" />
          <IconButton icon="undo" label={t("Undo (Ctrl+Z)")} disabled={!told.undo} onClick={() => board.current?.undo()} />
          <IconButton icon="redo" label={t("Redo (Ctrl+Shift+Z)")} disabled={!told.redo} onClick={() => board.current?.redo()} />
          <span className="rule" />
          <IconButton icon="invert" label={t("Invert (I)")} onClick={() => board.current?.invert()} />
          <IconButton icon="full" label={t("Mark everything")} onClick={() => board.current?.fill()} />
          <IconButton icon="trash" label={t("Clear (Delete)")} onClick={() => board.current?.clear()} />
        </div>
        <div className="settings">
          {settings.tool === "wand" ? (
            <Slide label={t("Tolerance")} value={settings.tolerance} high={128} step={1} text={String(settings.tolerance)} onChange={(tolerance) => change({ tolerance })} />
          ) : null}
          {settings.tool === "brush" || settings.tool === "erase" ? (
            <>
              <Slide label={t("Size [ ]")} value={Math.log2(settings.size)} high={11} text={`${settings.size} px`} onChange={(power) => change({ size: Math.round(2 ** power) })} />
              <Slide label={t("Hardness")} value={settings.hardness} text={percent(settings.hardness)} onChange={(hardness) => change({ hardness })} />
            </>
          ) : null}
          <Slide label={t("Overlay")} value={settings.opacity} low={0.1} text={percent(settings.opacity)} onChange={(opacity) => change({ opacity })} />
          <span className="swatches" role="group" aria-label={t("Overlay colour")}>
            {COLOURS.map((colour, index) => (
              <button
                type="button"
                key={colour.join()}
                aria-label={t("Overlay colour {n}", { n: index + 1 })}
                aria-pressed={settings.colour === colour}
                style={{ background: `rgb(${colour.join()})` }}
                onClick={() => change({ colour })}
              />
            ))}
          </span>
          <span className="space" />
          <IconButton icon="close" label={t("Leave without keeping (Esc)")} onClick={leave} />
        </div>
        <div className="stage" ref={stage} tabIndex={0} aria-busy={!ready} role="application" aria-label={t("The picture: drag to paint; with the keyboard, arrows move the brush and Enter paints")}>
          <div className="sheet" ref={sheet}>
            <img src={painting.url} alt={painting.title} draggable={false} />
            <canvas ref={overlay} />
            <svg viewBox={`0 0 ${size.width} ${size.height}`} aria-hidden="true">
              <polyline ref={outline} />
            </svg>
          </div>
          <div className="ring" ref={ring} />
        </div>
        <footer>
          <span className="zoom">
            <button type="button" aria-label={t("Zoom out")} onClick={() => board.current?.zoomTo(told.zoom / 1.25)}>
              –
            </button>
            <button type="button" title={t("Whole picture (.) – press 1 for 100 %")} onClick={() => board.current?.fit()}>
              {Math.round(told.zoom * 100)} %
            </button>
            <button type="button" aria-label={t("Zoom in")} onClick={() => board.current?.zoomTo(told.zoom * 1.25)}>
              +
            </button>
          </span>
          <span className="share" role="status">{told.share ? t("{share} % marked", { share: (told.share * 100).toFixed(told.share < 0.1 ? 1 : 0) }) : t("paint what is to change")}</span>
          {source ? (
            <button type="button" className="plain" onClick={() => void loadImage(source).then((image) => board.current?.begin(image), failed)}>
              {t("begin with what is there")}
            </button>
          ) : null}
          <span className="space" />
          <select aria-label={t("What the mask is for")} value={target?.id} onChange={(event) => setChosen(event.target.value)}>
            {targets.map((item) => (
              <option key={item.id} value={item.id}>
                {item.text}
              </option>
            ))}
          </select>
          <button type="button" className="keep" disabled={busy} onClick={() => void save(false)}>
            {t("Keep")}
          </button>
          <button type="button" className="run-button" disabled={busy} onClick={() => void save(true)} title={t("Keep and run (Ctrl+Enter)")}>
            <Icon name="run" /> {t("Keep and run")}
          </button>
        </footer>
      </div>
    </Dialog>
  );
}
