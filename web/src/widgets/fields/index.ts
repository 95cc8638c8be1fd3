/** The control of each kind of input, one a file. */
export { ChoiceField } from "./ChoiceField";
export { NumberField } from "./NumberField";
export { parseNumber, stepped } from "./number";
export type { FieldProps } from "./props";
export { parseSeed } from "./seed";
export { SeedField } from "./SeedField";
export { TextField } from "./TextField";
export { ToggleField } from "./ToggleField";
export { weigh } from "./weigh";
