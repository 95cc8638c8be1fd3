/** The control of each kind of input, one a file. */
export { ChoiceField } from "./ChoiceField";
export { NumberField } from "./NumberField";
export { calculate, readNumber, stepped, stride } from "./number";
export { PromptField } from "./prompt/PromptField";
export type { FieldProps } from "./props";
export { parseSeed } from "./seed";
export { SeedField } from "./SeedField";
export { TextField } from "./TextField";
export { ToggleField } from "./ToggleField";
