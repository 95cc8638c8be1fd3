import { type KeyboardEvent, type PointerEvent, useRef, useState } from "react";
import { isOptional } from "../../document/specs";
import { parseNumber, stepped } from "./number";
import type { FieldProps } from "./props";

/** A number: type it, use the arrow keys, or drag over it sideways. */
export function NumberField({ input, value, onChange, onDone, label }: FieldProps) {
  const none = value === null; // an optional number that is left out
  const held = typeof value === "number" ? value : Number(value ?? 0);
  const [text, setText] = useState<string | null>(null);
  const drag = useRef<{ x: number; from: number; moved: boolean } | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const commit = () => {
    if (text === null) return;
    const parsed = parseNumber(text, input);
    if (!text.trim() && isOptional(input.type)) onChange(null);
    else if (parsed !== null && (none || parsed !== held)) onChange(parsed);
    setText(null);
    onDone();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault();
      const by = (event.key === "ArrowUp" ? 1 : -1) * (event.shiftKey ? 10 : 1);
      const next = stepped(parseNumber(text ?? String(held), input) ?? held, by, input);
      setText(null);
      onChange(next);
    } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      commit();
      field.current?.blur();
    } else if (event.key === "Enter") commit();
    else if (event.key === "Escape") {
      setText(null);
      field.current?.blur();
    }
  };
  const onPointerDown = (event: PointerEvent) => {
    if (document.activeElement === field.current || event.button !== 0) return;
    drag.current = { x: event.clientX, from: held, moved: false };
    event.currentTarget.setPointerCapture(event.pointerId);
    event.preventDefault();
  };
  const onPointerMove = (event: PointerEvent) => {
    const start = drag.current;
    if (!start) return;
    const distance = event.clientX - start.x;
    if (!start.moved && Math.abs(distance) < 4) return;
    start.moved = true;
    const next = stepped(start.from, Math.round(distance / 6) * (event.shiftKey ? 10 : 1), input);
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
  const soft = input.widget?.soft ?? [input.widget?.low, input.widget?.high];
  const [low, high] = soft;
  const share =
    low !== undefined && high !== undefined && high > low && high < 1e6 ? Math.min(1, Math.max(0, (held - low) / (high - low))) : null;
  return (
    <span
      className="number nodrag"
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerUp}
      onLostPointerCapture={() => (drag.current = null)}
    >
      {share === null || none ? null : <span className="fill" style={{ width: `${share * 100}%` }} />}
      <input
        ref={field}
        aria-label={label}
        inputMode="decimal"
        value={text ?? (none ? "" : String(held))}
        placeholder="–"
        onChange={(event) => setText(event.target.value)}
        onFocus={(event) => event.target.select()}
        onBlur={commit}
        onKeyDown={onKeyDown}
      />
    </span>
  );
}
