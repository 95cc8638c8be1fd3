/** What the keyboard comes to in a widget's row: its text at rest, or the field itself. A button that stands beside
 * the field (sizes, dice) never comes first, though it may stand to its left; alone it is the control. */
export function controlOf(row: HTMLElement): HTMLElement | null {
  return row.querySelector<HTMLElement>(".rest, input, select, textarea") ?? row.querySelector<HTMLElement>("button");
}
