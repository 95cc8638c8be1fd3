import "./help.css";
import { useEffect, useState } from "react";
import { colourOf, isOptional, specOf, typeText } from "../../document/specs";
import { api } from "../../protocol/http";
import type { InputSpec, Json, NodeSpec, TypeJson, WorkflowRow } from "../../protocol/types";
import { useCatalogue } from "../../state/catalogue";
import { documentNow } from "../../state/document";
import { useUi } from "../../state/ui";
import { IconButton } from "../../ui/basics";
import { Markdown } from "../../ui/markdown";
import { t } from "../../words";
import { openWorkflow } from "../workflows/open";

let asked: Promise<WorkflowRow[]> | null = null; // once a page: templates do not change while it is open
const templates = (): Promise<WorkflowRow[]> => (asked ??= api.workflows().then((rows) => rows.filter((row) => row.origin === "template"), () => ((asked = null), [])));

/** What a node is for: its words, its sockets and values, the templates that use it. */
export function NodeHelp({ spec }: { spec: NodeSpec }) {
  const [rows, setRows] = useState<WorkflowRow[]>([]);
  useEffect(() => {
    let gone = false;
    void templates().then((found) => !gone && setRows(found.filter((row) => row.types?.includes(spec.id))));
    return () => {
      gone = true;
    };
  }, [spec.id]);
  return (
    <div className="node-help">
      <p className="id">
        <code>{spec.id}</code>
        {spec.aliases?.length ? <span>{t("elsewhere called {names}", { names: spec.aliases.join(", ") })}</span> : null}
      </p>
      {spec.deprecated ? <p className="wrong">{spec.deprecated}</p> : null}
      <Markdown text={flowing(spec.help)} />
      {spec.inputs.length ? (
        <section>
          <h3>{t("Takes")}</h3>
          <dl>
            {spec.inputs.map((input) => (
              <Row key={input.name} name={input.name} type={input.type} about={input.help ?? ""} more={valueOf(input)} />
            ))}
          </dl>
        </section>
      ) : null}
      {spec.outputs.length ? (
        <section>
          <h3>{t("Gives")}</h3>
          <dl>
            {spec.outputs.map((output) => (
              <Row key={output.name} name={output.name} type={output.type} about={output.help ?? ""} more="" />
            ))}
          </dl>
        </section>
      ) : null}
      {rows.length ? (
        <section>
          <h3>{t("Used in templates")}</h3>
          <ul className="used">
            {rows.map((row) => (
              <li key={row.name}>
                <button type="button" title={row.about} onClick={() => void openWorkflow(row.name).then(() => useUi.getState().set({ helping: null, palette: null }))}>
                  {row.title ?? row.name}
                </button>
              </li>
            ))}
          </ul>
        </section>
      ) : null}
      {spec.category && !spec.id.startsWith("#") ? (
        <p className="where">
          {t("In the documentation:")} <code>{pageOf(spec)}</code>
        </p>
      ) : null}
    </div>
  );
}

/** A docstring is broken into lines for its file: here a paragraph is one. */
const flowing = (text: string): string => text.replace(/([^\n])\n(?=[^\n\s\-*\d>])/g, "$1 ");

/** The generated page of its chapter. */
const pageOf = (spec: NodeSpec): string => `docs/nodes/${spec.flow ? "flow" : spec.category}.md`;

function Row({ name, type, about, more }: { name: string; type: TypeJson; about: string; more: string }) {
  const specs = useCatalogue((state) => state.specs);
  return (
    <div>
      <dt>
        <span className="dot" style={{ background: colourOf(type, specs) }} />
        <b>{name}</b>
        <span>{typeText(type)}</span>
        <span className="more">{more}</span>
      </dt>
      {about ? <dd>{about}</dd> : null}
    </div>
  );
}

const shown = (value: Json): string => (typeof value === "string" ? `“${value.length > 40 ? `${value.slice(0, 39)}…` : value}”` : JSON.stringify(value));

/** Its range and what it is without being set. */
function valueOf(input: InputSpec): string {
  const { low, high } = input.widget ?? {};
  const range = low !== undefined && high !== undefined ? t("{low} to {high}", { low, high }) : low !== undefined ? t("{low} or more", { low }) : "";
  const held = input.default;
  const none = held === undefined || held === null || held === "";
  const rest = none ? (isOptional(input.type) || held !== undefined ? t("may be left out") : "") : t("else {value}", { value: shown(held) });
  return [range, rest].filter(Boolean).join(", ");
}

/** The help of a node's type, beside the graph: it stays open while one works. */
export function HelpDrawer({ type }: { type: string }) {
  const specs = useCatalogue((state) => state.specs);
  const spec = specOf({ type, inputs: {} }, documentNow(), specs);
  const close = () => useUi.getState().set({ helping: null });
  return (
    <aside
      className="help-drawer"
      aria-label={t("Help for {name}", { name: spec?.title ?? type })}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        close();
      }}
    >
      <header>
        <h2>{spec?.title ?? type}</h2>
        <IconButton icon="close" label={t("Close the help (F1)")} onClick={close} />
      </header>
      <div className="scroll" tabIndex={0} role="region" aria-label={t("Help for {name}", { name: spec?.title ?? type })}>
        {spec ? <NodeHelp spec={spec} /> : <p>{t("No installed pack has this node; it keeps its place and its wires.")}</p>}
      </div>
    </aside>
  );
}
