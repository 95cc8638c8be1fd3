import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import { isOptional, nameOf } from "../document/specs";
import type { InputSpec, Json } from "../protocol/types";
import { api, ApiError, fileUrl } from "../protocol/http";
import { IconButton } from "../ui/basics";
import { complain } from "../state/ui";
import { PaintButton } from "./PaintButton";

export interface FieldProps {
  node: string;
  type: string; // the node's, for live choices
  input: InputSpec;
  value: Json | undefined;
  onChange: (value: Json) => void;
  onDone: () => void;
  /** A change that is no undo step. */
  onRoll?: (value: Json) => void;
  /** The seed that the last run had. */
  last?: number | string;
  /** The seed that the next run will have. */
  drawn?: number | string;
  label: string;
}

const SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const MAX_SEED = 2n ** 64n - 1n;

/** Seeds up to 2**64 - 1 are exact: beyond 2**53 - 1 they are decimal strings. */
export function parseSeed(text: string): number | string | null {
  if (!/^\d{1,20}$/.test(text.trim())) return null;
  const value = BigInt(text.trim());
  if (value > MAX_SEED) return null;
  return value <= SAFE ? Number(value) : value.toString();
}

function decimals(step: number | undefined): number {
  const text = String(step ?? 0.01);
  return text.includes(".") ? (text.split(".")[1] ?? "").length : 0;
}

/** The number a text means within the input's bounds; null when it is none. */
export function parseNumber(text: string, input: InputSpec): number | null {
  const value = Number(text.trim().replace(",", "."));
  if (!text.trim() || !Number.isFinite(value)) return null;
  const { low, high } = input.widget ?? {};
  const bounded = Math.min(high ?? Infinity, Math.max(low ?? -Infinity, value));
  return nameOf(input.type) === "int" ? Math.round(bounded) : bounded;
}

export function stepped(value: number, by: number, input: InputSpec): number {
  const int = nameOf(input.type) === "int";
  const step = input.widget?.step ?? (int ? 1 : 0.1);
  const moved = value + by * step;
  const { low, high } = input.widget ?? {};
  const bounded = Math.min(high ?? Infinity, Math.max(low ?? -Infinity, moved));
  return int ? Math.round(bounded) : Number(bounded.toFixed(Math.max(decimals(step), 2)));
}

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

/** A seed: fixed, or "random" / "increment", whose next value the server draws ahead and the plan shows. */
export function SeedField({ input, value, onChange, onDone, onRoll, last, drawn, label }: FieldProps) {
  const policy = value === "random" || value === "increment" ? value : "fixed";
  const shown = policy === "fixed" ? String(value ?? input.default ?? 0) : drawn === undefined ? policy : String(drawn);
  const [text, setText] = useState<string | null>(null);
  const commit = () => {
    const parsed = text === null ? null : parseSeed(text);
    if (parsed !== null && String(parsed) !== String(value)) onChange(parsed);
    setText(null);
    onDone();
  };
  const next = { fixed: "random", random: "increment", increment: "fixed" } as const;
  const names = { fixed: "fixed", random: "random each run", increment: "one more each run" };
  return (
    <span className="seed nodrag">
      <input
        aria-label={label}
        inputMode="numeric"
        className={policy === "fixed" ? "" : "drawn"}
        value={text ?? shown}
        title={policy === "fixed" ? undefined : `${names[policy]}; the next run has this one`}
        onChange={(event) => setText(event.target.value)}
        onFocus={(event) => event.target.select()}
        onBlur={commit}
        onKeyDown={(event) => {
          if (event.key === "Enter") commit();
          if (event.key === "Escape") setText(null);
        }}
      />
      {policy !== "fixed" && last !== undefined ? (
        <IconButton
          icon="restore"
          label={`${label}: the last run’s seed again, ${last}`}
          onClick={() => {
            onChange(parseSeed(String(last)) ?? 0);
            onDone();
          }}
        />
      ) : null}
      <button
        type="button"
        className="policy"
        aria-label={`${policy === "fixed" ? "fix" : policy === "random" ? "rnd" : "+1"}, ${label}: ${names[policy]}; press for ${names[next[policy]]}`}
        title={`${names[policy]} – press for ${names[next[policy]]}`}
        onClick={() => {
          const to = next[policy];
          onChange(to === "fixed" ? (parseSeed(String(drawn ?? "")) ?? 0) : to);
          onDone();
        }}
      >
        {policy === "fixed" ? "fix" : policy === "random" ? "rnd" : "+1"}
      </button>
      <IconButton
        icon="dice"
        label={`${label}: another seed`}
        onClick={() => (onRoll ?? onChange)(Math.floor(Math.random() * 2 ** 32))}
      />
    </span>
  );
}

export function ToggleField({ value, onChange, onDone, label }: FieldProps) {
  return (
    <button
      type="button"
      role="switch"
      aria-checked={value === true}
      aria-label={label}
      className="toggle nodrag"
      onClick={() => {
        onChange(value !== true);
        onDone();
      }}
    />
  );
}

export function ChoiceField({ node, type, input, value, onChange, onDone, label }: FieldProps) {
  const fixed = typeof input.type === "object" ? input.type.choices : undefined;
  const [live, setLive] = useState<(string | number)[] | null>(null);
  const field = useRef<HTMLSelectElement>(null);
  useEffect(() => {
    if (fixed) return;
    let gone = false;
    api.choices(type, input.name).then(
      (found) => !gone && setLive(found.choices),
      () => !gone && setLive([]),
    );
    return () => {
      gone = true;
    };
  }, [fixed, type, input.name]);
  const choices = [...(fixed ?? live ?? [])];
  const held = value as string | number | undefined;
  if (held !== undefined && !choices.some((choice) => String(choice) === String(held))) choices.unshift(held);
  const upload = async (file: File) => {
    try {
      const kept = await api.upload(file, file.name);
      onChange(kept.name);
      onDone();
    } catch (error) {
      complain(error instanceof ApiError ? error.problems : String(error));
    }
  };
  const picture = input.widget?.kind === "file";
  return (
    <span className="choice nodrag">
      <select
        ref={field}
        aria-label={label}
        value={held === undefined ? "" : String(held)}
        onChange={(event) => {
          onChange(choices.find((choice) => String(choice) === event.target.value) ?? event.target.value);
          onDone();
        }}
      >
        {held === undefined ? <option value="">choose…</option> : null}
        {choices.map((choice) => (
          <option key={String(choice)} value={String(choice)}>
            {String(choice) || "–"}
          </option>
        ))}
      </select>
      {picture && typeof held === "string" && held ? <PaintButton node={node} title={held} url={fileUrl("input", held)} /> : null}
      {picture ? (
        <IconButton
          icon="upload"
          label={`${label}: upload a picture`}
          onClick={() => {
            const chooser = document.createElement("input");
            chooser.type = "file";
            chooser.accept = "image/png,image/jpeg,image/webp";
            chooser.onchange = () => {
              const file = chooser.files?.[0];
              if (file) void upload(file);
            };
            chooser.click();
          }}
        />
      ) : null}
    </span>
  );
}

/** A line or a page of text. Every letter is an edit of the document; leaving the field ends the undo step. */
export function TextField({ input, value, onChange, onDone, label, rows }: FieldProps & { rows?: number }) {
  const text = typeof value === "string" ? value : value === undefined || value === null ? "" : String(value);
  if (!rows) {
    return (
      <input
        className="line nodrag"
        aria-label={label}
        value={text}
        spellCheck={false}
        onChange={(event) => onChange(event.target.value)}
        onBlur={onDone}
      />
    );
  }
  return (
    <textarea
      className="page nodrag nowheel"
      aria-label={label}
      rows={rows}
      value={text}
      spellCheck={false}
      placeholder={input.name}
      onChange={(event) => onChange(event.target.value)}
      onBlur={onDone}
      onKeyDown={(event) => {
        if ((event.ctrlKey || event.metaKey) && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
          const changed = weigh(text, event.currentTarget.selectionStart, event.currentTarget.selectionEnd, event.key === "ArrowUp" ? 0.1 : -0.1);
          if (!changed) return;
          event.preventDefault();
          onChange(changed.text);
          const field = event.currentTarget;
          requestAnimationFrame(() => field.setSelectionRange(changed.from, changed.to));
        }
      }}
    />
  );
}

/** Ctrl+Up and Ctrl+Down in a prompt: `word` becomes `(word:1.1)`, and 1 takes the brackets away again. */
export function weigh(text: string, from: number, to: number, by: number): { text: string; from: number; to: number } | null {
  let [start, end] = [from, to];
  if (start === end) {
    while (start > 0 && /[\p{L}\p{N}_'-]/u.test(text[start - 1] ?? "")) start--;
    while (end < text.length && /[\p{L}\p{N}_'-]/u.test(text[end] ?? "")) end++;
  }
  if (start === end) return null;
  const before = /\($/.exec(text.slice(0, start));
  const after = /^:(-?\d+(?:\.\d+)?)\)/.exec(text.slice(end));
  const weight = before && after ? Number(after[1]) : 1;
  const next = Math.round((weight + by) * 100) / 100;
  const words = text.slice(start, end);
  const left = before && after ? start - 1 : start;
  const right = before && after ? end + after[0].length : end;
  const made = next === 1 ? words : `(${words}:${next})`;
  const at = left + (next === 1 ? 0 : 1);
  return { text: text.slice(0, left) + made + text.slice(right), from: at, to: at + words.length };
}
