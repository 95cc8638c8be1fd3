/** What one does with a picture that was made: into the graph as an input, its seed again, another workflow, a file. */

import { withSpots } from "../../canvas/layout";
import { addNode, setValue } from "../../document/operations";
import { seedsOf } from "../../document/inputs";
import { specOf } from "../../document/specs";
import { literal, parseEnd } from "../../document/wires";
import { api, blobUrl } from "../../protocol/http";
import type { Json, Spot, WorkflowJson } from "../../protocol/types";
import { failed } from "../../state/actions";
import { canvas } from "../../state/canvas";
import { specsNow } from "../../state/catalogue";
import { documentNow, graphNow, perform, scopeNow, useDocument } from "../../state/document";
import { say, type Seen, useUi } from "../../state/ui";
import { t } from "../../words";

export type Made = Pick<Seen, "url" | "label" | "blob" | "job" | "item">;

const fileName = (picture: Made): string => `${picture.label.replace(/[\\/:*?"<>|.]+/g, " ").trim().slice(0, 60) || "picture"} ${(picture.blob ?? "").slice(0, 6)}.png`;

/** The picture as a file of the input folder; its name there. */
async function asFile(picture: Made): Promise<string> {
  const response = await fetch(picture.url);
  const kept = await api.upload(await response.blob(), fileName(picture));
  return kept.name;
}

/** The nodes of a graph that load a picture, with the input that names it. */
export function loaders(workflow: WorkflowJson): { node: string; input: string; title: string }[] {
  return Object.entries(workflow.nodes).flatMap(([node, json]) => {
    const spec = specOf(json, workflow, specsNow());
    const input = spec?.inputs.find((item) => item.widget?.kind === "file" && item.widget.place === "input");
    return input ? [{ node, input: input.name, title: json.title || spec?.title || node }] : [];
  });
}

/** Into the node that loads a picture: the one named, else a new one at this place. One undo step. */
export async function asInput(picture: Made, at?: Spot, node?: string): Promise<string | null> {
  try {
    const name = await asFile(picture);
    const found = loaders({ ...documentNow(), ...graphNow() }).find((item) => item.node === node);
    if (found) {
      perform(setValue(scopeNow(), found.node, found.input, name));
      return found.node;
    }
    const spec = specsNow().byId.get("image.load");
    if (!spec) return null;
    const added = addNode(documentNow(), scopeNow(), spec, at ?? canvas().middle());
    perform({ ...added, puts: [...added.puts, ...setValue(scopeNow(), added.name, "name", name).puts] });
    useUi.getState().set({ selected: [added.name] });
    return added.name;
  } catch (error) {
    failed(error);
    return null;
  }
}

/** Open a workflow with the picture in the first node that loads one; its node, to go on from. */
export async function sendTo(workflow: string, picture: Made): Promise<string | null> {
  try {
    const [found, name] = await Promise.all([api.workflow(workflow), asFile(picture)]);
    const [first] = loaders(found.workflow);
    useDocument.getState().open(withSpots(found.workflow, specsNow()), "");
    useUi.getState().set({ selected: [], viewing: null, gallery: false, sheet: null });
    if (!first) return null;
    perform(setValue("", first.node, first.input, name));
    return first.node;
  } catch (error) {
    failed(error);
    return null;
  }
}

/** Paint over the picture in a workflow that draws what is painted anew. */
export async function inpaint(picture: Made): Promise<void> {
  const node = await sendTo("template:inpaint", picture);
  if (node) useUi.getState().set({ painting: { node, title: picture.label, url: picture.url } });
}

/** The seeds a result was made with, into the open graph: one undo step, nothing runs. */
export async function reuseSeed(picture: Made): Promise<void> {
  if (!picture.job) return;
  try {
    const { workflow } = await api.graph(picture.job, picture.item);
    const held = seeds(workflow);
    const wanted = seeds(documentNow());
    const puts = [...wanted.keys()].flatMap((to) => {
      const value = held.get(to) ?? (held.size === 1 ? [...held.values()][0] : undefined);
      const end = parseEnd(to);
      return value === undefined ? [] : setValue(scopeNow(), end.node, end.output, value).puts;
    });
    const shown = [...held.values()].map(String).join(", ");
    if (!puts.length) say(t("No seed of the open graph is one of that picture’s."));
    else say(perform({ label: "seed of a result", puts }) ? t("The seed is {seed} now.", { seed: shown }) : t("The graph has that seed already."));
  } catch (error) {
    failed(error);
  }
}

/** The seeds typed into a graph, by `node.input`. */
function seeds(workflow: WorkflowJson): Map<string, Json> {
  const found = seedsOf(workflow, specsNow());
  const names = typeof found === "string" ? (workflow.parameters?.[found]?.to ?? []) : found;
  const held = new Map<string, Json>();
  for (const to of names) {
    const end = parseEnd(to);
    const json = workflow.nodes[end.node];
    if (!json) continue;
    const value = literal(json.inputs[end.output]) ?? specOf(json, workflow, specsNow())?.inputs.find((item) => item.name === end.output)?.default;
    if (value !== undefined) held.set(to, value);
  }
  return held;
}

/** Save pictures as files of the browser's own, one after the other. */
export async function download(pictures: Made[]): Promise<void> {
  for (const picture of pictures) {
    const link = document.createElement("a");
    link.href = picture.blob ? blobUrl(picture.blob) : picture.url;
    link.download = fileName(picture);
    link.click();
    await new Promise((next) => setTimeout(next, 150)); // a browser drops what comes all at once
  }
}

/** Only where the page is secure does a browser let a picture into the clipboard. */
export const canCopy = (): boolean => "clipboard" in navigator && "ClipboardItem" in window;

export async function copy(picture: Made): Promise<void> {
  try {
    const data = fetch(picture.url).then((response) => response.blob());
    await navigator.clipboard.write([new ClipboardItem({ "image/png": data })]);
    say(t("The picture is in the clipboard."));
  } catch (error) {
    failed(error);
  }
}
