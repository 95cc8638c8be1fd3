import { canvas } from "../../state/canvas";
import { useUi } from "../../state/ui";
import { Icon } from "../../ui/icons";
import { t } from "../../words";
import { openWorkflow } from "./open";

/** What an empty canvas says: how to begin. */
export function Begin() {
  return (
    <div className="begin">
      <h2>{t("Nothing here yet")}</h2>
      <div>
        <button type="button" onClick={() => void openWorkflow("template:text_to_image")}>
          <Icon name="run" /> {t("Text to image")}
        </button>
        <button type="button" onClick={() => useUi.getState().set({ templates: true })}>
          <Icon name="grid" /> {t("All templates")} <kbd>{t("Ctrl+O")}</kbd>
        </button>
        <button type="button" onClick={() => useUi.getState().set({ palette: { at: canvas().middle() } })}>
          <Icon name="add" /> {t("Add a node (Space)")}
        </button>
      </div>
      <p>{t("A picture or workflow dropped here opens as the graph that made it.")}</p>
    </div>
  );
}
