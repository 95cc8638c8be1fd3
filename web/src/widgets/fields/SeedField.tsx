import { useState } from "react";
import { IconButton } from "../../ui/basics";
import type { FieldProps } from "./props";
import { parseSeed } from "./seed";

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
