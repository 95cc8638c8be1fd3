import "./forecast.css";
import { useEffect, useRef, useState } from "react";
import { specOf } from "../../document/specs";
import type { Plan } from "../../protocol/types";
import { bytes, type Due, due, duration, forecastLine } from "../../run/state";
import { canvas } from "../../state/canvas";
import { specsNow } from "../../state/catalogue";
import { documentNow, useDocument } from "../../state/document";
import { useUi } from "../../state/ui";
import { plural, t } from "../../words";

const MOST = 40;
const REST = 200; // ms that the pointer stays before the list opens

const titleOf = (node: string): string => {
  const json = documentNow().nodes[node];
  return json ? json.title || specOf(json, documentNow(), specsNow())?.title || json.type : node;
};

/** Leave whatever sub-graph one is in, and show a node. */
function go(node: string): void {
  useDocument.getState().leave(0);
  useUi.getState().set({ selected: [node], gallery: false, sheet: null, ...(window.innerWidth <= 700 ? { panel: null } : {}) });
  requestAnimationFrame(() => canvas().fit([node]));
}

/** What Run would do, in one line; on it, node by node, with the reason. */
export function Forecast({ plan, line }: { plan: Plan | null; line?: string }) {
  const [open, setOpen] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const box = useRef<HTMLDivElement>(null);
  const found = plan && !line && !plan.problems.length ? due(plan) : null;
  const worth = !!found && found.run.length + found.maybe.length > 0;
  const soon = (next: boolean) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setOpen(next), next ? REST : 250);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => {
    if (!open) return;
    const away = (event: PointerEvent) => !box.current?.contains(event.target as Node) && setOpen(false);
    window.addEventListener("pointerdown", away, true);
    return () => window.removeEventListener("pointerdown", away, true);
  }, [open]);
  const rows = (items: Due[], kind: "run" | "maybe") =>
    items.slice(0, MOST).map(({ node, outlook }) => (
      <li key={node}>
        <button
          type="button"
          onClick={() => {
            setOpen(false);
            go(node);
          }}
        >
          <span className={`mark ${kind}`} aria-hidden="true" />
          <span className="who">
            <b>{titleOf(node)}</b>
            {titleOf(node).toLowerCase() === node ? null : <small>{node}</small>}
            <span className="why">
              {[outlook.why || (kind === "maybe" ? t("depends on what comes before") : ""), outlook.resumed ? t("goes on from step {n}", { n: outlook.resumed }) : ""].filter(Boolean).join("; ")}
            </span>
          </span>
          <span className="cost">
            {outlook.seconds === null ? "" : `≈ ${duration(outlook.seconds)}`}
            {outlook.memory ? <small>{bytes(outlook.memory)}</small> : null}
          </span>
        </button>
      </li>
    ));
  return (
    <div
      className="forecast-box"
      ref={box}
      onPointerEnter={(event) => event.pointerType === "mouse" && worth && soon(true)}
      onPointerLeave={(event) => event.pointerType === "mouse" && soon(false)}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !open) return;
        event.stopPropagation();
        setOpen(false);
      }}
    >
      <button type="button" className="forecast" aria-expanded={open && worth} aria-haspopup="true" disabled={!worth} onClick={() => setOpen(!open)}>
        <span role="status" aria-live="polite" data-forecast>
          {line ?? (plan ? forecastLine(plan) : t("planning…"))}
        </span>
      </button>
      {open && worth ? (
        <div className="due" role="region" aria-label={t("What will run, and why")} data-due>
          <ul>
            {rows(found.run, "run")}
            {rows(found.maybe, "maybe")}
          </ul>
          {found.run.length > MOST ? <p>{t("and {n} more", { n: found.run.length - MOST })}</p> : null}
          {found.cached ? <p>{plural(found.cached, "1 node is cached: nothing to do", "{n} nodes are cached: nothing to do")}</p> : null}
        </div>
      ) : null}
    </div>
  );
}

