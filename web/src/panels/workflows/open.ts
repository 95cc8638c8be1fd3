import { withSpots } from "../../canvas/layout";
import { api } from "../../protocol/http";
import { failed } from "../../state/actions";
import { specsNow } from "../../state/catalogue";
import { useDocument } from "../../state/document";
import { useUi } from "../../state/ui";

/** A workflow of the server's, yours or a template, in a tab of its own. */
export async function openWorkflow(name: string): Promise<void> {
  try {
    const found = await api.workflow(name);
    useDocument.getState().open(withSpots(found.workflow, specsNow()), name.startsWith("template:") ? "" : name);
    useUi.getState().set({ selected: [] });
  } catch (error) {
    failed(error);
  }
}
