/** What was dragged from a list onto the canvas: a picture becomes an input, a model the node that loads it. */

import { addNode, setValue } from "../document/operations";
import { specOf } from "../document/specs";
import { blobUrl } from "../protocol/http";
import type { InputSpec, NodeSpec, Spot } from "../protocol/types";
import type { Carried } from "../state/carried";
import { specsNow } from "../state/catalogue";
import { documentNow, graphNow, perform, scopeNow } from "../state/document";
import { say, useUi } from "../state/ui";
import { t } from "../words";
import { asInput } from "./gallery/deeds";

export async function takeThing(thing: Carried, at: Spot, over?: string): Promise<void> {
  if (thing.kind === "model") return takeModel(thing.folder, thing.name, at, over);
  const made = { url: blobUrl(thing.blob), blob: thing.blob, label: thing.label, job: thing.job, item: thing.item };
  if (await asInput(made, at, over)) useUi.getState().set({ gallery: false, viewing: null });
}

/** The input of a node that names a model of this folder. */
const inputFor = (spec: NodeSpec | undefined, folder: string): InputSpec | undefined =>
  spec?.inputs.find((item) => item.widget?.kind === "model" && item.widget.models === folder);

/** The node that loads models of a folder: the plainest there is, the loaders before what only uses one. */
export function loaderOf(folder: string, specs: NodeSpec[]): NodeSpec | undefined {
  const able = specs.filter((spec) => !spec.deprecated && inputFor(spec, folder));
  const rank = (spec: NodeSpec) => (/\bload/.test(spec.id) ? 0 : 10) + spec.inputs.length / 100;
  return able.sort((a, b) => rank(a) - rank(b))[0];
}

/** Dropped on a node that takes such a model it is the one it loads; anywhere else a loader of its own. One undo step. */
export function takeModel(folder: string, name: string, at: Spot, over?: string): void {
  const json = over ? graphNow().nodes[over] : undefined;
  const input = json && inputFor(specOf(json, documentNow(), specsNow()), folder);
  if (over && input) {
    perform(setValue(scopeNow(), over, input.name, name));
    return;
  }
  const spec = loaderOf(folder, [...specsNow().byId.values()]);
  const named = inputFor(spec, folder);
  if (!spec || !named) return say(t("No node loads models of “{folder}”.", { folder }));
  const added = addNode(documentNow(), scopeNow(), spec, at);
  perform({ ...added, puts: [...added.puts, ...setValue(scopeNow(), added.name, named.name, name).puts] });
  useUi.getState().set({ selected: [added.name] });
}
