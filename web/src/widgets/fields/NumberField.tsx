import { type KeyboardEvent, type PointerEvent, useEffect, useId, useRef, useState } from "react";
import { isOptional } from "../../document/specs";
import type { InputSpec } from "../../protocol/types";
import { t } from "../../words";
import { readNumber, stepped, stride } from "./number";
import type { FieldProps } from "./props";
import { SizeButton } from "./SizeButton";

const STEP = 6; // pixels of a drag for one step

/** A number or a sum: type it, use the arrow keys or, in the field, the wheel, or drag over it sideways. */
export function NumberField({ node, input, value, onChange, onDone, label }: FieldProps) {
  const none = value === null; // an optional number that is left out
  const held = typeof value === "number" ? value : Number(value ?? 0);
  const [text, setText] = useState<string | null>(null);
  const [hint, setHint] = useState<string | null>(null);
  const drag = useRef<{ x: number; from: number; sum: number; moved: boolean } | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const about = useId();
  const forget = () => {
    setText(null);
    setHint(null);
  };
  /** False when what is written is refused: it says why and stays, to be mended. */
  const commit = (): boolean => {
    if (text === null) return true;
    if (!text.trim() && isOptional(input.type)) onChange(null);
    else {
      const read = readNumber(text, input);
      if ("refused" in read) {
        setHint(read.refused === "none" ? t("not a number") : bounds(input));
        return false;
      }
      if (none || read.value !== held) onChange(read.value);
    }
    forget();
    onDone();
    return true;
  };
  const move = (by: number) => {
    const read = text === null ? null : readNumber(text, input);
    const from = read && "value" in read ? read.value : held;
    const next = stepped(from, by, input);
    setText(null);
    setHint(next === from && by ? bounds(input) : null);
    if (next !== held || none) onChange(next);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault();
      move((event.key === "ArrowUp" ? 1 : -1) * stride(event, input));
    } else if (event.key === "PageUp" || event.key === "PageDown") {
      event.preventDefault();
      move(event.key === "PageUp" ? 10 : -10);
    } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      if (commit()) field.current?.blur();
      else field.current?.select();
    } else if (event.key === "Enter") commit();
    else if (event.key === "Escape") {
      forget();
      field.current?.blur();
    }
  };
  const wheel = useRef(move);
  useEffect(() => {
    wheel.current = move;
  });
  useEffect(() => {
    const element = field.current;
    // React's own listener cannot keep the page, or the canvas, from going along.
    const onWheel = (event: WheelEvent) => {
      if (document.activeElement !== element || !event.deltaY) return;
      event.preventDefault();
      event.stopPropagation();
      wheel.current((event.deltaY < 0 ? 1 : -1) * stride(event, input));
    };
    element?.addEventListener("wheel", onWheel, { passive: false });
    return () => element?.removeEventListener("wheel", onWheel);
  }, [input]);
  const onPointerDown = (event: PointerEvent) => {
    if (document.activeElement === field.current || event.button !== 0 || (event.target as Element).closest("button")) return;
    drag.current = { x: event.clientX, from: held, sum: 0, moved: false };
    event.currentTarget.setPointerCapture(event.pointerId);
    event.preventDefault();
  };
  const onPointerMove = (event: PointerEvent) => {
    const start = drag.current;
    if (!start) return;
    if (!start.moved && Math.abs(event.clientX - start.x) < 4) return;
    start.moved = true;
    // What was moved so far counts as it was moved: Shift in the middle of a drag makes only the rest finer.
    const steps = Math.trunc((event.clientX - start.x) / STEP);
    if (!steps) return;
    start.x += steps * STEP;
    start.sum += steps * stride(event, input);
    const next = stepped(start.from, start.sum, input);
    if (next !== held) onChange(next);
  };
  const onPointerUp = () => {
    const start = drag.current;
    drag.current = null;
    if (!start) return;
    if (start.moved) onDone();
    else {
      field.current?.focus();
      field.current?.select();
    }
  };
  const [low, high] = input.widget?.soft ?? [input.widget?.low, input.widget?.high];
  const share =
    low !== undefined && high !== undefined && high > low && high < 1e6 ? Math.min(1, Math.max(0, (held - low) / (high - low))) : null;
  return (
    <span
      className="number nodrag nokey"
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerUp}
      onLostPointerCapture={() => (drag.current = null)}
    >
      {share === null || none ? null : <span className="fill" style={{ width: `${share * 100}%` }} />}
      <SizeButton node={node} input={input} label={label} />
      <input
        ref={field}
        role="spinbutton"
        aria-label={label}
        aria-valuenow={none ? undefined : held}
        aria-valuemin={input.widget?.low}
        aria-valuemax={input.widget?.high}
        aria-invalid={hint && text !== null ? true : undefined}
        aria-describedby={hint ? about : undefined}
        inputMode="decimal"
        value={text ?? (none ? "" : String(held))}
        placeholder="–"
        onChange={(event) => {
          setText(event.target.value);
          setHint(null);
        }}
        onFocus={(event) => event.target.select()}
        onBlur={() => {
          // Who goes away from what is refused keeps what was there.
          if (!commit()) forget();
          setHint(null);
        }}
        onKeyDown={onKeyDown}
      />
      {hint ? (
        <span className="field-hint" id={about} role="status">
          {hint}
        </span>
      ) : null}
    </span>
  );
}

/** What the node takes, in words. */
function bounds(input: InputSpec): string {
  const { low, high } = input.widget ?? {};
  if (low !== undefined && high !== undefined) return t("{low} to {high}", { low, high });
  if (low !== undefined) return t("{low} or more", { low });
  return high !== undefined ? t("{high} or less", { high }) : "";
}
