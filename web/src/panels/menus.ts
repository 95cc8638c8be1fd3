/** What the right button offers, by what it is pressed on. */

import type { MenuTarget } from "../canvas/Canvas";
import { wiresOf } from "../document/wires";
import type { Spot } from "../protocol/types";
import { canvas } from "../state/canvas";
import { documentNow, graphNow, perform, scopeNow } from "../state/document";
import { disconnect, reroute } from "../document/operations";
import { type MenuRow, useUi } from "../state/ui";
import { t } from "../words";
import { commandById } from "./commands";
import * as edit from "./edit";
import { instanceRows, socketRows } from "./sockets";

const row = (id: string): MenuRow => {
  const command = commandById(id);
  return { label: t(command.title), keys: command.keys?.[0], run: command.run };
};

function enter(name: string): MenuRow[] {
  const rows = instanceRows(name);
  if (!rows.length) return [];
  return [...rows, ...(graphNow().nodes[name]?.type.startsWith("#") ? [row("unpack")] : []), null];
}

function wireRows(id: string): MenuRow[] {
  const wire = [...wiresOf(graphNow())].find((item) => `${item.node}|${item.slot}` === id || (item.node === id.slice(0, id.indexOf("|")) && `${item.slot}/0` === id.slice(id.indexOf("|") + 1)));
  if (!wire) return [];
  const to = { node: wire.node, slot: wire.slot };
  const box = canvas().boxes([wire.node, wire.from.node]);
  const [a, b] = [box[wire.from.node], box[wire.node]];
  const at = a && b ? { x: (a.x + a.width + b.x) / 2 - 116, y: (a.y + b.y) / 2 + 40 } : canvas().pointer();
  return [
    {
      label: t("A bend in the wire"),
      run: () => {
        const made = reroute(documentNow(), scopeNow(), wire.from, to, at);
        perform(made);
        useUi.getState().set({ selected: [made.name] });
      },
    },
    { label: t("Put a node into the wire…"), run: () => useUi.getState().set({ palette: { at, between: { from: wire.from, to } } }) },
    row("stubs"),
    { label: t("Cut the wire"), keys: "Delete", run: () => perform(disconnect(documentNow(), scopeNow(), [to])) },
  ];
}

const ARRANGE = ["align-left", "align-top", "spread-x", "spread-y", "layout"];

export function rowsFor(target: MenuTarget, at: Spot): MenuRow[] {
  if (target.kind === "wire") return wireRows(target.id ?? "");
  if (target.kind === "socket") return socketRows(target, at);
  if (target.kind === "pane") {
    const spot = canvas().toCanvas(at);
    return [
      { label: t("Add a node"), keys: "Space", run: () => useUi.getState().set({ palette: { at: spot } }) },
      { label: t("Add a note"), keys: "N", run: () => edit.note(spot) },
      { label: t("Paste"), keys: "Ctrl+V", run: () => void edit.pasteText(null, false) },
      null,
      row("all"),
      row("find"),
      row("layout"),
      row("fit"),
      row("cut-wires"),
      null,
      row("commands"),
    ];
  }
  if (target.id?.startsWith("#note/")) {
    return [{ label: t("Write the note"), keys: "Enter", run: () => useUi.getState().set({ writing: target.id }) }, row("tint"), row("duplicate"), null, row("delete")];
  }
  if (target.id?.startsWith("#frame/") && edit.framesChosen().length) {
    return [
      { label: t("Title of the frame"), keys: "Enter", run: () => useUi.getState().set({ writing: target.id }) },
      row("tint"),
      { label: t("Draw it tight around its nodes"), keys: "Ctrl+G", run: edit.frame },
      null,
      row("run-here"),
      row("mute"),
      row("bypass"),
      null,
      row("duplicate"),
      row("delete"),
    ];
  }
  if (target.kind === "selection") {
    return [row("run-here"), null, ...ARRANGE.map(row), null, row("frame"), row("group"), null, row("mute"), row("bypass"), row("stubs"), row("tint"), null, row("duplicate"), row("take-out"), row("delete")];
  }
  return [
    ...enter(target.id ?? ""),
    row("run-here"),
    null,
    row("rename"),
    row("tint"),
    row("collapse"),
    null,
    row("mute"),
    row("bypass"),
    row("replace"),
    row("stubs"),
    null,
    row("before"),
    row("after"),
    row("same"),
    null,
    row("frame"),
    row("duplicate"),
    row("take-out"),
    row("delete"),
  ];
}

export function openMenu(target: MenuTarget, at: Spot): void {
  const rows = rowsFor(target, at);
  if (rows.length) useUi.getState().set({ menu: { at, label: t("What can be done here"), rows } });
}

/** The menu by the keyboard: for what is selected, where it stands. */
export function menuForSelection(): void {
  const [id] = useUi.getState().selected;
  const element = id === undefined ? null : document.querySelector(`.react-flow__node[data-id="${CSS.escape(id)}"]`);
  const box = (element ?? document.querySelector(".canvas"))?.getBoundingClientRect();
  if (!box) return;
  const many = useUi.getState().selected.length > 1;
  openMenu(id === undefined ? { kind: "pane" } : { kind: many ? "selection" : "node", id }, { x: box.x + 24, y: box.y + 28 });
}
