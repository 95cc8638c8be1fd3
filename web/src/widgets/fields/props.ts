import type { InputSpec, Json } from "../../protocol/types";

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

/** A value as the text of a field. */
export const textIn = (value: Json | undefined): string => (typeof value === "string" ? value : value === undefined || value === null ? "" : String(value));
