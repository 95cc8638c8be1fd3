import { tabOf, useDocument } from "../state/document";
import { t } from "../words";
import { goToStep } from "./going";
import { labelText } from "./labels";

const SHOWN = 200;

/** Every edit since the workflow was opened, the newest first; a press goes back, or forth again, to just after it. */
export function Steps() {
  const { past, future } = useDocument((state) => tabOf(state).history);
  const rows = [
    ...future.map((command, i) => ({ label: command.label, at: past.length + future.length - i, undone: true })),
    ...[...past].reverse().map((command, i) => ({ label: command.label, at: past.length - i, undone: false })),
  ];
  const near = Math.max(0, future.length - SHOWN / 2);
  return (
    <ol className="steps" aria-label={t("Edits")}>
      {rows.slice(near, near + SHOWN).map((row) => (
        <li key={row.at}>
          <button type="button" className={row.undone ? "undone" : ""} aria-current={row.at === past.length ? "step" : undefined} onClick={() => goToStep(row.at)}>
            {labelText(row.label)}
          </button>
        </li>
      ))}
      <li>
        <button type="button" aria-current={past.length === 0 ? "step" : undefined} onClick={() => goToStep(0)}>
          {t("as it was opened")}
        </button>
      </li>
    </ol>
  );
}
