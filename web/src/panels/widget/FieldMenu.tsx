import { isChoice } from "../../canvas/geometry";
import { expose, setValue } from "../../document/operations";
import { specOf } from "../../document/specs";
import { isLink, literal } from "../../document/wires";
import { api } from "../../protocol/http";
import type { Json } from "../../protocol/types";
import { suggestion } from "../../run/items";
import { useCatalogue } from "../../state/catalogue";
import { documentNow, graphNow, perform, scopeNow } from "../../state/document";
import { useRun } from "../../state/run";
import { addAxis } from "../../state/sheets";
import { type FieldMenu as Ask, useUi } from "../../state/ui";
import { Menu, type MenuEntry } from "../../ui/Menu";
import { asNodeRow } from "../sockets";
import { t } from "../../words";

const close = () => useUi.getState().set({ fieldMenu: null });
const ticked = (yes: boolean, label: string): string => (yes ? `✓ ${label}` : label);

/** What can be done with one input, wherever its field is. */
export function FieldMenu({ ask }: { ask: Ask }) {
  const specs = useCatalogue((state) => state.specs);
  const json = graphNow().nodes[ask.node];
  const input = json && specOf(json, documentNow(), specs)?.inputs.find((item) => item.name === ask.input);
  if (!json || !input) return null;
  const source = json.inputs[ask.input];
  const wired = isLink(source);
  const value = source === undefined ? input.default : literal(source);
  const whole = scopeNow() === "";
  const put = (to: Json | undefined) => {
    perform(setValue(scopeNow(), ask.node, ask.input, to));
  };
  const sweep = async () => {
    let choices = typeof input.type === "object" ? (input.type.choices ?? []) : [];
    if (!choices.length && isChoice(input)) choices = await api.choices(json.type, input.name).then((found) => found.choices, () => []);
    addAxis(`${ask.node}.${ask.input}`, suggestion(input, value, choices));
  };
  const rows: MenuEntry[] = [];
  if (!wired && input.widget?.kind === "seed") {
    const drawn = useRun.getState().plan?.drawn?.[`${ask.node}.${ask.input}`];
    const fixed = value !== "random" && value !== "increment";
    rows.push(
      { label: ticked(fixed, t("Fixed")), run: () => !fixed && put(drawn ?? 0) },
      { label: ticked(value === "random", t("Random each run")), run: () => put("random") },
      { label: ticked(value === "increment", t("One more each run")), run: () => put("increment") },
    );
    const last = useRun.getState().run.drawn[`${ask.node}.${ask.input}`];
    if (last !== undefined) rows.push({ label: t("The last run’s seed again: {last}", { last }), run: () => put(last) });
    rows.push(
      null,
    );
  }
  if (!wired && whole) {
    const box = { left: ask.x, top: ask.y, right: ask.x, bottom: ask.y };
    rows.push(
      { label: t("Sweep…"), run: () => void sweep() },
      { label: t("Values tried here"), run: () => useUi.getState().set({ trail: { node: ask.node, input: ask.input, box, pinned: true } }) },
    );
  }
  if (whole && json.type.startsWith("denoise.")) {
    rows.push({ label: t("Look at many seeds first…"), run: () => useUi.getState().set({ panel: "cull", selected: [ask.node] }) });
  }
  rows.push(...asNodeRow(ask.node, ask.input));
  const shown = Object.values(graphNow().parameters ?? {}).some((parameter) => parameter.to.includes(`${ask.node}.${ask.input}`));
  rows.push({ label: ticked(shown, t("Show in the form")), run: () => perform(expose(documentNow(), scopeNow(), ask.node, input)) });
  if (!wired && input.default !== undefined && source !== undefined && JSON.stringify(value) !== JSON.stringify(input.default)) {
    rows.push({ label: t("Reset to {value}", { value: JSON.stringify(input.default) }), run: () => put(undefined) });
  }
  return <Menu label={`${ask.node} · ${ask.input}`} at={{ x: ask.x, y: ask.y }} rows={rows} onClose={close} />;
}
