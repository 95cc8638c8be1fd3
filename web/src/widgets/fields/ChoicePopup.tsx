import "./choice.css";
import { Command } from "cmdk";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { createPortal } from "react-dom";
import { fileUrl } from "../../protocol/http";
import type { InputSpec, ModelRow } from "../../protocol/types";
import { bytes } from "../../run/state";
import { loadModels, misfit, useModels, wiredModel } from "../../state/models";
import { best } from "../../ui/fuzzy";
import { t } from "../../words";

type Choice = string | number;
const SHOWN = 300; // rows; who has more models than that types a letter

interface Row {
  choice: Choice;
  row: ModelRow | undefined;
  why: string | null;
}

/** Choices that can be searched. Of models the family, what they are and their size, and those of another family than
 * the wired model's greyed, with the reason; of pictures a small view. */
export function ChoicePopup(props: {
  beside: HTMLElement;
  label: string;
  node: string;
  input: InputSpec;
  choices: Choice[] | null;
  held: Choice | undefined;
  onChoose: (to: Choice) => void;
  onClose: () => void;
}) {
  const { beside, label, node, input, choices, held, onChoose, onClose } = props;
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(held === undefined ? "" : String(held));
  const box = useRef<HTMLDivElement>(null);
  const models = useModels((state) => state.rows);
  const kind = input.widget?.models ?? "";
  const whole = kind === "checkpoints" || kind === "diffusion_models";
  useEffect(() => void (kind && loadModels()), [kind]);
  const rows = useMemo(() => {
    const wired = kind && !whole ? wiredModel(node) : null;
    const known = new Map(Object.entries(models).flatMap(([group, list]) => (group === kind || !kind ? list : [])).map((row) => [row.name, row]));
    return (choices ?? []).map((choice): Row => {
      const row = kind ? (known.get(String(choice)) ?? anywhere(models, String(choice))) : undefined;
      const other = row && misfit(row, wired);
      return { choice, row, why: other ? t("for {family}; the wired model is {wanted}", other) : row?.problem ? row.problem : null };
    });
  }, [choices, models, kind, whole, node]);
  const found = useMemo(
    () =>
      rows
        .map((row) => ({ ...row, score: best(query, [String(row.choice), row.row?.family ?? "", row.row?.what ?? ""]) }))
        .filter((row) => row.score > 0)
        .sort((a, b) => Number(!!a.why) - Number(!!b.why) || (query ? b.score - a.score : 0))
        .slice(0, SHOWN),
    [rows, query],
  );
  useLayoutEffect(() => {
    const panel = box.current;
    if (!panel) return;
    const anchor = beside.getBoundingClientRect();
    const { width, height } = panel.getBoundingClientRect();
    const below = anchor.bottom + 4 + height <= window.innerHeight - 4;
    panel.style.left = `${Math.max(4, Math.min(anchor.right - width, window.innerWidth - width - 4))}px`;
    panel.style.top = `${below ? anchor.bottom + 4 : Math.max(4, Math.min(anchor.top - height - 4, window.innerHeight - height - 4))}px`;
  });
  useEffect(() => {
    box.current?.querySelector("input")?.focus({ preventScroll: true });
    const away = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) onClose();
    };
    window.addEventListener("pointerdown", away, true);
    window.addEventListener("wheel", away, { capture: true, passive: true });
    return () => {
      window.removeEventListener("pointerdown", away, true);
      window.removeEventListener("wheel", away, true);
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- from the opening to the closing
  }, []);
  return createPortal(
    <div
      ref={box}
      className="choice-popup nodrag nowheel"
      role="dialog"
      aria-label={label}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key !== "Escape" && event.key !== "Tab") return;
        event.preventDefault();
        onClose();
      }}
    >
      <Command shouldFilter={false} label={label} loop value={at} onValueChange={setAt}>
        <Command.Input value={query} onValueChange={setQuery} placeholder={t("search…")} aria-label={t("Search {field}", { field: label })} />
        <Command.List>
          <Command.Empty>{choices === null ? "…" : query ? t("Nothing is called “{query}”.", { query }) : t("There is nothing to choose yet.")}</Command.Empty>
          {found.map(({ choice, row, why }) => (
            <Command.Item key={String(choice)} value={String(choice)} className={why ? "misfit" : ""} onSelect={() => onChoose(choice)}>
              {input.widget?.kind === "file" && choice !== "" ? <img src={`${fileUrl("input", String(choice))}?size=64`} alt="" loading="lazy" /> : null}
              <span className="what">
                <b>{String(choice) || t("none")}</b>
                {why ? <span>{why}</span> : row ? <span>{[row.what, row.precision, bytes(row.bytes)].filter(Boolean).join(" · ")}</span> : null}
              </span>
              {row?.family || row?.fits ? <span className="badge-family">{row.family || row.fits}</span> : null}
              {String(choice) === String(held) ? <span aria-label={t("chosen")} role="img">✓</span> : null}
            </Command.Item>
          ))}
        </Command.List>
      </Command>
    </div>,
    beside.closest("dialog") ?? document.body,
  );
}

/** A whole model stands among the checkpoints also where one of its parts is asked for. */
const anywhere = (models: Record<string, ModelRow[]>, name: string): ModelRow | undefined =>
  Object.values(models).flat().find((row) => row.name === name);
