import { type KeyboardEvent, memo, type MouseEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import { setValue } from "../document/operations";
import { labelOf, nameOf } from "../document/specs";
import { isLink, literal } from "../document/wires";
import type { InputSpec, Json, Source } from "../protocol/types";
import { perform, scopeNow, useDocument } from "../state/document";
import { useRun } from "../state/run";
import { useUi } from "../state/ui";
import { t } from "../words";
import { controlOf } from "./control";
import { ChoiceField, type FieldProps, NumberField, PromptField, SeedField, TextField, ToggleField } from "./fields";

interface WidgetProps {
  node: string;
  type: string;
  input: InputSpec;
  source: Source | undefined;
  drawn?: number | string;
  /** Alive from the start (inspector, form), or inert text until the pointer or the focus comes (canvas). */
  live?: boolean;
  label?: string;
}

const LIVE_CHOICES = new Set(["model", "file", "choices"]);

/** What an input shows at rest. */
export function textOf(value: Json | undefined, drawn?: number | string): string {
  if (value === undefined || value === null) return "–";
  if (value === "random" || value === "increment") return drawn === undefined ? value : `${drawn} ⟳`;
  if (typeof value === "boolean") return value ? t("on") : t("off");
  if (typeof value === "object") return JSON.stringify(value);
  return String(value);
}

/** A list of its own is open beside it: the focus is there, and the control has to stay. */
const opened = (element: HTMLElement): boolean => element.querySelector("[aria-expanded=true]") !== null;

/** The widget of one input: its value in words at rest, the real control under the pointer or the focus. */
export const Widget = memo(function Widget({ node, type, input, source, drawn, live, label }: WidgetProps) {
  const [awake, setAwake] = useState(false);
  const value = source === undefined ? input.default : literal(source);
  const name = label ?? labelOf(input.name);
  const multiline = input.widget?.kind === "text" || input.widget?.kind === "prompt";
  const wired = isLink(source);
  const hover = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(hover.current), []);
  // Who stays on a field for a moment sees what was tried in it.
  const stay = (event: PointerEvent<HTMLElement>) => {
    if (event.pointerType === "touch" || event.buttons) return;
    const row = event.currentTarget.getBoundingClientRect();
    const card = event.currentTarget.closest("[data-node], .panel, .inspector")?.getBoundingClientRect() ?? row;
    const box = { left: card.left, right: card.right, top: row.top, bottom: row.bottom };
    clearTimeout(hover.current);
    hover.current = setTimeout(() => useUi.getState().set({ trail: { node, input: input.name, box } }), 600);
  };
  const onContextMenu = (event: MouseEvent) => {
    event.preventDefault();
    event.stopPropagation();
    clearTimeout(hover.current);
    useUi.getState().set({ trail: null, fieldMenu: { node, input: input.name, x: event.clientX, y: event.clientY } });
  };
  if (wired && !multiline) {
    return (
      <span className="rest wired">
        <span className="name">{name}</span>
        <span className="value">{t("wired")}</span>
      </span>
    );
  }
  if (wired) return <span className="rest text wired">{t("{name}: wired", { name })}</span>;
  if (!live && !awake) {
    const wake = () => setAwake(true);
    const text = textOf(value, drawn);
    return (
      <span
        className={multiline ? "rest text" : "rest"}
        tabIndex={0}
        role="textbox"
        aria-readonly="true"
        aria-label={`${name}: ${text}`}
        data-input={input.name}
        onPointerEnter={(event) => {
          stay(event);
          wake();
        }}
        onFocus={wake}
        onContextMenu={onContextMenu}
      >
        {multiline ? (
          <span className={value ? "value" : "value empty-text"}>{value ? text : name}</span>
        ) : (
          <>
            <span className="name">{name}</span>
            <span className="value">{text}</span>
          </>
        )}
      </span>
    );
  }
  const fieldProps: FieldProps = {
    node,
    type,
    input,
    value,
    drawn,
    label: `${node} ${name}`,
    onChange: (next) => void perform(setValue(scopeNow(), node, input.name, next)),
    onDone: () => useDocument.getState().settle(),
    onRoll: (next) => void perform({ ...setValue(scopeNow(), node, input.name, next), quiet: true }),
    last: input.widget?.kind === "seed" ? useRun.getState().run.drawn[`${node}.${input.name}`] : undefined,
  };
  const changed = input.default !== undefined && source !== undefined && JSON.stringify(value) !== JSON.stringify(input.default);
  const reset = changed
    ? () => {
        useDocument.getState().settle();
        perform(setValue(scopeNow(), node, input.name, undefined));
        useDocument.getState().settle();
      }
    : undefined;
  const kind = nameOf(input.type);
  const field = input.widget?.kind === "prompt" ? (
    <PromptField {...fieldProps} rows={live ? 4 : 3} />
  ) : multiline ? (
    <TextField {...fieldProps} rows={live ? 4 : 3} />
  ) : input.widget?.kind === "seed" ? (
    <SeedField {...fieldProps} />
  ) : kind === "bool" ? (
    <ToggleField {...fieldProps} />
  ) : kind === "choice" || LIVE_CHOICES.has(input.widget?.kind ?? "") ? (
    <ChoiceField {...fieldProps} />
  ) : kind === "int" || kind === "float" ? (
    <NumberField {...fieldProps} />
  ) : (
    <TextField {...fieldProps} />
  );
  const sleep = (element: HTMLElement) => {
    if (!live && !element.contains(document.activeElement) && !opened(element)) setAwake(false);
  };
  return (
    <span
      className={multiline ? "control text" : "control"}
      data-input={input.name}
      ref={(element) => {
        // Woken by the keyboard: the focus, which was on the text at rest, goes on to the control.
        if (!element || live || element.dataset.seen) return;
        element.dataset.seen = "yes";
        if (document.activeElement === document.body && !element.matches(":hover")) {
          controlOf(element)?.focus();
        }
      }}
      onContextMenu={onContextMenu}
      onPointerEnter={stay}
      onPointerDown={() => clearTimeout(hover.current)}
      onPointerLeave={(event) => {
        clearTimeout(hover.current);
        sleep(event.currentTarget);
      }}
      onBlur={(event) => {
        const element = event.currentTarget;
        if (!live && !element.contains(event.relatedTarget) && !element.matches(":hover") && !opened(element)) setAwake(false);
      }}
      onKeyDown={(event: KeyboardEvent) => {
        if (event.key === "Escape") (document.activeElement as HTMLElement | null)?.blur();
      }}
    >
      {multiline ? null : (
        <span className="name" title={reset ? t("Double-click: back to {value}", { value: textOf(input.default) }) : undefined} onDoubleClick={reset}>
          {name}
        </span>
      )}
      {field}
    </span>
  );
});
