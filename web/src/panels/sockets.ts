/** What the right button offers on a socket, and on the sub-graph a node stands for. */

import type { MenuTarget } from "../canvas/Canvas";
import { typeAt } from "../canvas/wiring";
import { disconnect, expose, exposeOutput, fanOut, makeUnique, makerOf, renameGraph, renameSocket, shared, stub, typedAgain, valueNode } from "../document/operations";
import { hasWidget, specOf } from "../document/specs";
import { isLink, wiresInto } from "../document/wires";
import type { Spot } from "../protocol/types";
import { canvas } from "../state/canvas";
import { specsNow } from "../state/catalogue";
import { documentNow, graphNow, perform, prefixOf, scopeNow, useDocument } from "../state/document";
import { complain, type MenuRow, useUi } from "../state/ui";
import { t } from "../words";

const ticked = (yes: boolean, label: string): string => (yes ? `✓ ${label}` : label);
const ask = (label: string, value: string, done: (text: string) => void) => useUi.getState().set({ asking: { label, value, done } });

/** The graph whose socket this is, when its node stands for one. */
const graphOf = (node: string): string | undefined => {
  const json = graphNow().nodes[node];
  return json?.type.startsWith("#") ? json.type.slice(1) : undefined;
};

function renameRow(title: string | undefined, side: "parameters" | "outputs", name: string): MenuRow[] {
  if (title === undefined) return [];
  const rename = (text: string) => {
    if (text !== name && !perform(renameSocket(documentNow(), title, side, name, text))) complain(t("“{name}” is taken, or no name.", { name: text }));
  };
  return [{ label: t("Rename the socket…"), run: () => ask(t("Name of the socket"), name, rename) }];
}

export function socketRows({ id: node = "", slot = "", side = "target" }: MenuTarget, at: Spot): MenuRow[] {
  const document = documentNow();
  const scope = scopeNow();
  const json = graphNow().nodes[node];
  const spec = json && specOf(json, document, specsNow());
  if (!json || !spec) return [];
  const spot = canvas().toCanvas(at);
  const wire = { node, handle: slot, type: side, carries: typeAt(node, slot, side) };
  const links: MenuRow[] = [
    { label: side === "target" ? t("Wire it from…") : t("Wire it to…"), keys: "Enter", run: () => useUi.getState().set({ linking: { node, slot, side } }) },
    { label: side === "target" ? t("A new node before it…") : t("A new node behind it…"), run: () => useUi.getState().set({ palette: { at: spot, wire } }) },
  ];
  if (side === "source") {
    const ends = fanOut(document, scope, { node, output: slot });
    const shown = Object.values(graphNow().outputs ?? {}).includes(`${node}.${slot}`);
    const many: MenuRow[] = ends.length
      ? [
          { label: t("Wires as named stubs, and back"), run: () => perform(stub(document, scope, ends.map((end) => `${end.node}|${end.slot}`))) },
          { label: t("Cut its wires"), keys: "Delete", run: () => perform(disconnect(document, scope, ends)) },
        ]
      : [];
    return [
      ...links,
      ...many,
      null,
      { label: ticked(shown, scope ? t("An output of the sub-graph") : t("An output of the workflow")), run: () => perform(exposeOutput(document, scope, node, slot)) },
      ...renameRow(graphOf(node), "outputs", slot),
    ];
  }
  const input = spec.inputs.find((item) => item.name === slot.split("/")[0]);
  if (!input) return links;
  const wired = wiresInto(node, json).some((each) => each.slot === slot);
  const target = `${node}.${input.name}`;
  const shown = Object.values(graphNow().parameters ?? {}).some((parameter) => parameter.to.includes(target));
  const rows: MenuRow[] = [...links];
  if (wired) rows.push({ label: t("Cut the wire"), keys: "Delete", run: () => perform(disconnect(document, scope, [{ node, slot }])) });
  rows.push(null);
  if (hasWidget(input) && isLink(json.inputs[input.name])) rows.push({ label: t("Type it in here again"), run: () => perform(typedAgain(document, scope, node, input)) });
  else rows.push(...asNodeRow(node, input.name));
  rows.push({ label: ticked(shown, scope ? t("An input of the sub-graph") : t("Show in the form")), run: () => perform(expose(document, scope, node, input)) });
  rows.push(...renameRow(graphOf(node), "parameters", input.name));
  return rows;
}

/** A typed value as a node of its own, where there is a node for such a value. */
export function asNodeRow(node: string, name: string): MenuRow[] {
  const json = graphNow().nodes[node];
  const input = json && specOf(json, documentNow(), specsNow())?.inputs.find((item) => item.name === name);
  if (!input || isLink(json.inputs[name]) || !makerOf(input, specsNow())) return [];
  const box = canvas().boxes([node])[node];
  const make = () => {
    const made = valueNode(documentNow(), specsNow(), scopeNow(), node, input, { x: (box?.x ?? 0) - 296, y: (box?.y ?? 0) + (box?.height ?? 0) / 2 });
    if (!made) return complain(t("A drawn seed cannot be a node: fix it first."));
    perform(made);
    useUi.getState().set({ selected: [made.name] });
  };
  return [{ label: t("As a node of its own"), run: make }];
}

/** What can be done with the sub-graph that a node stands for. */
export function instanceRows(name: string): MenuRow[] {
  const node = graphNow().nodes[name];
  const title = (node?.type.startsWith("#") ? node.type : node?.body)?.replace(/^#/, "");
  if (!node || !title || !documentNow().graphs?.[title]) return [];
  const path = prefixOf(useDocument.getState()) + name + (node.body ? "/0" : "");
  const count = shared(documentNow(), title);
  const enter = () => {
    useUi.getState().set({ selected: [] });
    useDocument.getState().enter({ scope: title, path });
  };
  const rename = (text: string) => {
    if (text !== title && !perform(renameGraph(documentNow(), title, text))) complain(t("“{name}” is taken, or no name.", { name: text }));
  };
  const own: MenuRow[] = count > 1 ? [{ label: t("A graph of its own ({n} nodes share it)", { n: count }), run: () => perform(makeUnique(documentNow(), scopeNow(), name)) }] : [];
  return [{ label: t("Enter the sub-graph"), run: enter }, { label: t("Rename the sub-graph…"), run: () => ask(t("Name of the sub-graph"), title, rename) }, ...own];
}
