import "./prompt.css";
import { type KeyboardEvent, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "react";
import { literal } from "../../../document/wires";
import { graphOf, useDocument } from "../../../state/document";
import { insertLora } from "../../../state/lora";
import { useUi } from "../../../state/ui";
import { IconButton } from "../../../ui/basics";
import { plural, t } from "../../../words";
import { type FieldProps, textIn } from "../props";
import { useTyped } from "../../../ui/typed";
import { type Asked, type Offer, offersAt } from "./complete";
import { Popup } from "./Popup";
import { type Dialect, spans } from "./tint";
import { told, useTokens } from "./tokens";
import { weigh } from "./weigh";
import { useVocabulary } from "./words";

/** Where the list opens, and in what: over a dialog nothing outside it can be seen. */
interface Spot {
  left: number;
  top: number;
  bottom: number;
  home: Element;
}

interface Props extends FieldProps {
  rows?: number;
  /** In the large view: no button to open it, and the focus from the start. */
  large?: boolean;
}

/** A prompt: its syntax marked, names and earlier words completed, words weighed, tokens counted.
 *
 * The text itself is a plain textarea; a copy behind it with the same metrics carries the marks as grounds, so that
 * typing, selecting and input methods are the browser's own. */
export function PromptField({ node, type, input, value, onChange: change, onDone, label, rows, large }: Props) {
  const [text, onChange] = useTyped(textIn(value), change);
  const field = useRef<HTMLTextAreaElement>(null);
  const copy = useRef<HTMLDivElement>(null);
  const weighing = useRef(false);
  const own = useRef(false); // the change is a weighing, not something typed
  const [asked, setAsked] = useState<Asked | null>(null);
  const [chosen, setChosen] = useState(-1);
  const [spot, setSpot] = useState<Spot | null>(null);
  const list = useId();
  const known = useVocabulary(type, input.name);
  const counts = useTokens(node, type, input.name, !!input.widget?.tokens);
  const count = counts && told(counts);
  const reads = useDocument((state) => literal(graphOf(state).nodes[node]?.inputs.weights) ?? "comfy") as Dialect;
  const marks = useMemo(() => spans(text, reads), [text, reads]);

  const follow = () => {
    const [area, behind] = [field.current, copy.current];
    if (!area || !behind) return;
    behind.style.width = `${area.clientWidth}px`;
    behind.style.transform = `translateY(${-area.scrollTop}px)`;
  };
  useLayoutEffect(follow);
  useEffect(() => {
    const area = field.current;
    if (!area) return;
    const watch = new ResizeObserver(follow);
    watch.observe(area);
    if (large) {
      area.focus();
      area.setSelectionRange(area.value.length, area.value.length);
    }
    return () => watch.disconnect();
  }, [large]);

  const close = () => setAsked(null);
  const open = !!asked;
  useEffect(() => {
    if (!open) return;
    // The list stands at a place of the screen: when what is under it moves, or something else is pressed, it goes.
    const away = (event: Event) => {
      if (event.target instanceof Element && event.target.closest(".offers")) return;
      // Writing moves the text by itself; a press in it moves the caret, which is looked at elsewhere.
      if (event.type === "wheel" || event.target !== field.current) setAsked(null);
    };
    const kinds = ["pointerdown", "wheel", "scroll"] as const;
    for (const kind of kinds) window.addEventListener(kind, away, { capture: true, passive: true });
    window.addEventListener("resize", away);
    return () => {
      for (const kind of kinds) window.removeEventListener(kind, away, { capture: true });
      window.removeEventListener("resize", away);
    };
  }, [open]);
  const look = (loud = false) => {
    const area = field.current;
    if (!area || area.selectionStart !== area.selectionEnd) return close();
    const found = offersAt(area.value, area.selectionStart, known, loud);
    setAsked(found);
    setChosen(found?.sure ? 0 : -1);
    if (found && copy.current) setSpot({ ...placeOf(copy.current, found.from), home: area.closest("dialog") ?? document.body });
  };
  /** Through the browser, so that its own undo knows it. */
  const put = (from: number, to: number, made: string, select: [number, number]) => {
    const area = field.current;
    if (!area) return;
    area.focus();
    area.setSelectionRange(from, to);
    // The one way to write into a field that the browser's undo keeps; deprecated without a successor.
    const done = made ? document.execCommand("insertText", false, made) : document.execCommand("delete");
    if (!done) {
      area.setRangeText(made, from, to, "end");
      onChange(area.value);
    }
    area.setSelectionRange(from + select[0], from + select[1]);
    requestAnimationFrame(() => area.setSelectionRange(from + select[0], from + select[1]));
  };
  const choose = (offer: Offer) => {
    if (!asked) return;
    const end = offer.text.length;
    const { from, to } = asked;
    close();
    put(from, to, offer.text, offer.select ?? [end, end]);
    if (offer.kind === "lora") void insertLora(node, input.name, offer.label);
  };
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    const control = event.ctrlKey || event.metaKey;
    if (control && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      const { selectionStart, selectionEnd } = event.currentTarget;
      const changed = weigh(text, selectionStart, selectionEnd, event.key === "ArrowUp" ? 0.1 : -0.1);
      event.preventDefault();
      if (!changed) return;
      close();
      // A row of presses is one step to undo, apart from what was typed before.
      if (!weighing.current) onDone();
      own.current = true;
      put(changed.from, changed.to, changed.text, [changed.select[0] - changed.from, changed.select[1] - changed.from]);
      own.current = false;
      weighing.current = true;
      return;
    }
    if (control && event.key === " ") {
      event.preventDefault();
      return look(true);
    }
    if (control && event.key === "Enter") return close(); // the run begins, and the list is in the way of what comes next
    if (event.key === "F2" && !large) {
      event.preventDefault();
      return openLarge();
    }
    if (!asked) return;
    const last = asked.offers.length - 1;
    if (event.key === "ArrowDown") setChosen(chosen >= last ? 0 : chosen + 1);
    else if (event.key === "ArrowUp") setChosen(chosen <= 0 ? last : chosen - 1);
    else if (event.key === "Escape") close();
    else if ((event.key === "Enter" && chosen >= 0) || event.key === "Tab") choose(asked.offers[Math.max(0, chosen)] as Offer);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const openLarge = () => {
    onDone();
    useUi.getState().set({ prompting: { node, input: input.name } });
  };
  return (
    <span className="prompt nodrag nokey">
      <span className="behind" aria-hidden="true">
        <span className="copy" ref={copy as React.RefObject<HTMLDivElement>}>
          {marks.map(({ from, to, mark }) => (mark ? <mark key={from} className={`is-${mark}`}>{text.slice(from, to)}</mark> : <span key={from}>{text.slice(from, to)}</span>))}
          {/* A last line that is empty has a height, too. */}
          {"\n"}
        </span>
      </span>
      <textarea
        ref={field}
        className="page nodrag nowheel"
        aria-label={label}
        aria-autocomplete="list"
        aria-haspopup="listbox"
        aria-controls={asked ? list : undefined}
        aria-activedescendant={asked && chosen >= 0 ? `${list}-${chosen}` : undefined}
        rows={rows}
        value={text}
        spellCheck={false}
        placeholder={input.name}
        onChange={(event) => {
          if (!own.current) {
            if (weighing.current) onDone();
            weighing.current = false;
          }
          onChange(event.target.value);
          look();
        }}
        onScroll={follow}
        onSelect={() => {
          const area = field.current;
          if (asked && area && (area.selectionStart !== asked.to || area.selectionEnd !== asked.to)) close();
        }}
        onBlur={() => {
          close();
          weighing.current = false;
          onDone();
        }}
        onKeyDown={onKeyDown}
      />
      <span className="corner-notes">
        {count ? (
          <span className={count.over ? "tokens over" : "tokens"} title={t("Tokens that the text encoder reads, of those that have room in one window")}>
            {count.text}
          </span>
        ) : null}
        {large ? null : <IconButton icon="expand" label={t("{field}: write in a large view (F2)", { field: label })} onClick={openLarge} />}
      </span>
      {/* A text of several lines is no combobox to a screen reader: what opened is said. */}
      <span className="unseen" role="status">
        {asked ? plural(asked.offers.length, "1 completion", "{n} completions") : ""}
      </span>
      {asked && spot ? (
        <Popup id={list} at={spot} home={spot.home} offers={asked.offers} chosen={chosen} onChoose={choose} />
      ) : null}
    </span>
  );
}

/** Where on the screen a place of the text is: measured in the copy, which has the same lines. */
function placeOf(copy: Element, index: number): { left: number; top: number; bottom: number } {
  let left = index;
  const walk = document.createTreeWalker(copy, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const length = node.textContent?.length ?? 0;
    if (left < length || !length) {
      const range = document.createRange();
      range.setStart(node, left);
      range.setEnd(node, Math.min(length, left + 1));
      const box = range.getClientRects()[0] ?? range.getBoundingClientRect();
      return { left: box.left, top: box.top, bottom: box.bottom };
    }
    left -= length;
  }
  const box = copy.getBoundingClientRect();
  return { left: box.left, top: box.top, bottom: box.top + 16 };
}
