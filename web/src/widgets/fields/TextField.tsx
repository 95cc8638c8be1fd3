import type { FieldProps } from "./props";

/** A line or a page of text. Every letter is an edit of the document; leaving the field ends the undo step. */
export function TextField({ input, value, onChange, onDone, label, rows }: FieldProps & { rows?: number }) {
  const text = typeof value === "string" ? value : value === undefined || value === null ? "" : String(value);
  const shared = {
    "aria-label": label,
    value: text,
    spellCheck: false,
    onChange: (event: { target: { value: string } }) => onChange(event.target.value),
    onBlur: onDone,
  };
  if (!rows) return <input className="line nodrag" {...shared} />;
  return <textarea className="page nodrag nowheel" rows={rows} placeholder={input.name} {...shared} />;
}
