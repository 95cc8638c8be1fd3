import type { FieldProps } from "./props";
import { weigh } from "./weigh";

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
