import { tabOf, useDocument } from "../state/document";
import { keepMine, takeTheirs, useSharing } from "../state/sharing";
import { t } from "../words";

/** The tab was changed here and in another browser: nothing is lost, whichever is chosen. */
export function Conflict() {
  const id = useDocument((state) => tabOf(state).id);
  const conflict = useSharing((state) => state.conflicts[id]);
  if (!conflict) return null;
  return (
    <div className="conflict" role="alert">
      <span>{t("This workflow was changed in another browser, too.")}</span>
      <button type="button" onClick={() => takeTheirs(id)}>
        {t("Take theirs")}
      </button>
      <button type="button" onClick={() => keepMine(id)}>
        {t("Keep mine as a new tab")}
      </button>
    </div>
  );
}
