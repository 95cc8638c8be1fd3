import "./widget.css";
import { useEffect, useLayoutEffect, useRef } from "react";
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
import { type WidgetMenu as Ask, useUi } from "../../state/ui";

const close = () => useUi.getState().set({ menu: null });

interface Row {
  text: string;
  run: () => void;
  checked?: boolean;
}

/** What can be done with one input, wherever its field is. */
export function WidgetMenu({ menu }: { menu: Ask }) {
  const specs = useCatalogue((state) => state.specs);
  const box = useRef<HTMLDivElement>(null);
  const json = graphNow().nodes[menu.node];
  const input = json && specOf(json, documentNow(), specs)?.inputs.find((item) => item.name === menu.input);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const area = element.getBoundingClientRect();
    element.style.left = `${Math.max(4, Math.min(menu.x, window.innerWidth - area.width - 4))}px`;
    element.style.top = `${Math.max(4, Math.min(menu.y, window.innerHeight - area.height - 4))}px`;
    element.querySelector<HTMLElement>("button")?.focus();
  }, [menu]);
  useEffect(() => {
    const onDown = (event: PointerEvent) => {
      if (!box.current?.contains(event.target as Node)) close();
    };
    window.addEventListener("pointerdown", onDown, true);
    return () => window.removeEventListener("pointerdown", onDown, true);
  }, []);

  if (!json || !input) return null;
  const source = json.inputs[menu.input];
  const wired = isLink(source);
  const value = source === undefined ? input.default : literal(source);
  const top = scopeNow() === "";
  const put = (to: Json | undefined) => {
    perform(setValue(scopeNow(), menu.node, menu.input, to));
  };
  const rows: Row[] = [];
  if (!wired && input.default !== undefined && source !== undefined && JSON.stringify(value) !== JSON.stringify(input.default)) {
    rows.push({ text: `Reset to ${JSON.stringify(input.default)}`, run: () => put(undefined) });
  }
  if (!wired && input.widget?.kind === "seed") {
    const used = useRun.getState().plan?.drawn?.[`${menu.node}.${menu.input}`];
    rows.push(
      { text: "Fixed", checked: value !== "random" && value !== "increment", run: () => put(typeof value === "string" && !/^\d/.test(value) ? (used ?? 0) : (value ?? 0)) },
      { text: "Random each run", checked: value === "random", run: () => put("random") },
      { text: "One more each run", checked: value === "increment", run: () => put("increment") },
    );
  }
  if (!wired && top) {
    rows.push({ text: "Sweep…", run: () => void sweep() });
    rows.push({
      text: "Values tried here",
      run: () => useUi.getState().set({ trail: { node: menu.node, input: menu.input, box: { left: menu.x, top: menu.y, right: menu.x, bottom: menu.y }, pinned: true } }),
    });
  }
  if (json.type.startsWith("denoise.") && top) rows.push({ text: "Look at many seeds first…", run: () => useUi.getState().set({ panel: "cull", selected: [menu.node] }) });
  const shown = Object.values(graphNow().parameters ?? {}).some((parameter) => parameter.to.includes(`${menu.node}.${menu.input}`));
  rows.push({ text: "Show in the form", checked: shown, run: () => perform(expose(documentNow(), scopeNow(), menu.node, input)) });

  const sweep = async () => {
    let choices = typeof input.type === "object" ? (input.type.choices ?? []) : [];
    if (!choices.length && isChoice(input)) choices = await api.choices(json.type, input.name).then((found) => found.choices, () => []);
    addAxis(`${menu.node}.${menu.input}`, suggestion(input, value, choices));
  };

  return (
    <div
      ref={box}
      className="widget-menu"
      role="menu"
      aria-label={`${menu.node} ${menu.input}`}
      onKeyDown={(event) => {
        const items = [...(box.current?.querySelectorAll<HTMLElement>("button") ?? [])];
        const at = items.indexOf(document.activeElement as HTMLElement);
        if (event.key === "Escape" || event.key === "Tab") close();
        else if (event.key === "ArrowDown") items[(at + 1) % items.length]?.focus();
        else if (event.key === "ArrowUp") items[(at - 1 + items.length) % items.length]?.focus();
        else if (event.key !== "Enter" && event.key !== " ") return;
        if (event.key !== "Enter" && event.key !== " ") event.preventDefault();
        event.stopPropagation();
      }}
    >
      <p>
        {menu.node} · {menu.input}
      </p>
      {rows.map((row) => (
        <button
          key={row.text}
          type="button"
          role={row.checked === undefined ? "menuitem" : "menuitemcheckbox"}
          aria-checked={row.checked}
          onClick={() => {
            close();
            row.run();
          }}
        >
          {row.text}
        </button>
      ))}
    </div>
  );
}
