import { api } from "../protocol/http";
import { applyMend, outgoing } from "./actions";
import { prefixOf, useDocument } from "./document";
import { complain, say } from "./ui";
import { t } from "../words";

/** A LoRA that was named in a prompt: the server's own mend takes it out of the text and puts its nodes in. */
export async function insertLora(node: string, input: string, name: string): Promise<void> {
  useDocument.getState().settle();
  const path = prefixOf(useDocument.getState()) + node;
  try {
    const plan = await api.plan(outgoing());
    const mend = plan.problems.find((problem) => problem.where?.path === path && problem.where.socket === input && problem.mend?.edits.length);
    if (mend && applyMend(mend)) say(t("“{name}” acts on the model now: its nodes are in the graph.", { name }));
  } catch {
    complain(t("The LoRA’s nodes could not be put in; the problem’s button does it."));
  }
}
