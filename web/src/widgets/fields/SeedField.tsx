import { useState } from "react";
import { IconButton } from "../../ui/basics";
import { t, type Text } from "../../words";
import type { FieldProps } from "./props";
import { parseSeed, seedAfter } from "./seed";

const NEXT = { fixed: "random", random: "increment", increment: "fixed" } as const;
const NAMES: Record<keyof typeof NEXT, Text> = { fixed: "fixed", random: "random each run", increment: "one more each run" };
const SHORT: Record<keyof typeof NEXT, Text> = { fixed: "fix", random: "rnd", increment: "+1" };

/** A seed: fixed, or "random" / "increment", whose next value the server draws ahead and the plan shows. */
export function SeedField({ input, value, onChange, onDone, onRoll, last, drawn, label }: FieldProps) {
  const policy = value === "random" || value === "increment" ? value : "fixed";
  const shown = policy === "fixed" ? String(value ?? input.default ?? 0) : drawn === undefined ? policy : String(drawn);
  const [text, setText] = useState<string | null>(null);
  const [refused, setRefused] = useState(false);
  const forget = () => {
    setText(null);
    setRefused(false);
  };
  const commit = (): boolean => {
    if (text === null || text.trim() === shown) {
      forget();
      return true;
    }
    const parsed = parseSeed(text);
    if (parsed === null) {
      setRefused(true);
      return false;
    }
    if (String(parsed) !== String(value)) onChange(parsed);
    forget();
    onDone();
    return true;
  };
  const names = { policy: t(NAMES[policy]), next: t(NAMES[NEXT[policy]]) };
  return (
    <span className="seed nodrag">
      <input
        aria-label={label}
        inputMode="numeric"
        className={policy === "fixed" ? "" : "drawn"}
        value={text ?? shown}
        title={policy === "fixed" ? undefined : t("{policy}; the next run has this one", names)}
        aria-invalid={refused || undefined}
        onChange={(event) => {
          setText(event.target.value);
          setRefused(false);
        }}
        onFocus={(event) => event.target.select()}
        onBlur={() => {
          if (!commit()) forget();
        }}
        onKeyDown={(event) => {
          const field = event.currentTarget;
          if (event.key === "Enter" && !commit()) field.select();
          if (event.key === "Escape") forget();
          if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
          event.preventDefault();
          const next = seedAfter(text ?? shown, event.key === "ArrowUp" ? 1 : -1);
          if (next === null) return;
          forget();
          onChange(next);
        }}
      />
      {refused ? (
        <span className="field-hint" role="status">
          {t("a whole number below 2⁶⁴")}
        </span>
      ) : null}
      {policy !== "fixed" && last !== undefined ? (
        <IconButton
          icon="restore"
          label={t("{field}: the last run’s seed again, {last}", { field: label, last })}
          onClick={() => {
            onChange(parseSeed(String(last)) ?? 0);
            onDone();
          }}
        />
      ) : null}
      <button
        type="button"
        className="policy"
        aria-label={t("{short}, {field}: {policy}; press for {next}", { short: t(SHORT[policy]), field: label, ...names })}
        title={t("{policy} – press for {next}", names)}
        onClick={() => {
          const to = NEXT[policy];
          onChange(to === "fixed" ? (parseSeed(String(drawn ?? "")) ?? 0) : to);
          onDone();
        }}
      >
        {t(SHORT[policy])}
      </button>
      <IconButton
        icon="dice"
        label={t("{field}: another seed", { field: label })}
        onClick={() => (onRoll ?? onChange)(Math.floor(Math.random() * 2 ** 32))}
      />
    </span>
  );
}
