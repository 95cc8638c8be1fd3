import type { FieldProps } from "./props";

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
