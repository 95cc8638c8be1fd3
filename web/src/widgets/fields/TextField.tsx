import { type FieldProps, textIn } from "./props";
import { useTyped } from "../../ui/typed";

/** A line or a page of text. Every letter is an edit of the document; leaving the field ends the undo step. */
export function TextField({ input, value, onChange, onDone, label, rows }: FieldProps & { rows?: number }) {
  const [text, type] = useTyped(textIn(value), onChange);
  const shared = {
    "aria-label": label,
    value: text,
    spellCheck: false,
    onChange: (event: { target: { value: string } }) => type(event.target.value),
    onBlur: onDone,
  };
  if (!rows) return <input className="line nodrag" {...shared} />;
  return <textarea className="page nodrag nowheel" rows={rows} placeholder={input.name} {...shared} />;
}
