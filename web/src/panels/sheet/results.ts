/** What one does with a result: take its values over, open the graph that made it. */

import { withSpots } from "../../canvas/layout";
import { setValue } from "../../document/operations";
import { parseEnd } from "../../document/wires";
import { api } from "../../protocol/http";
import type { Item, Json } from "../../protocol/types";
import { failed } from "../../state/actions";
import { specsNow } from "../../state/catalogue";
import { documentNow, perform, scopeNow, useDocument } from "../../state/document";
import { say, useUi } from "../../state/ui";
import { t } from "../../words";

/** Put an item's own values into the open graph: one undo step, nothing runs. */
export function takeValues(item: Item): void {
  const nodes = documentNow().nodes;
  const fitting = Object.entries(item.set).filter(([to]) => nodes[parseEnd(to).node]);
  const puts = fitting.flatMap(([to, value]) => {
    const end = parseEnd(to);
    return setValue(scopeNow(), end.node, end.output, value as Json).puts;
  });
  if (perform(puts.length ? { label: item.label || "values of a result", puts } : null)) say(t("the graph has {values} now", { values: item.label || t("its values") }));
  else say(t("the graph has these values already"));
}

export async function openGraph(job: string, item?: number | null): Promise<void> {
  try {
    const { workflow } = await api.graph(job, item);
    useDocument.getState().open(withSpots(workflow, specsNow()), "");
    useUi.getState().set({ sheet: null, viewing: null, gallery: false, selected: [] });
    say(t("the graph that made it is open in a tab of its own"));
  } catch (error) {
    failed(error);
  }
}
