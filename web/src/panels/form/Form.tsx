import { fileUrl } from "../../protocol/http";
import { useCatalogue } from "../../state/catalogue";
import { documentOf, graphOf, tabOf, useDocument } from "../../state/document";
import { useRun } from "../../state/run";
import { say, useUi } from "../../state/ui";
import { Empty } from "../../ui/basics";
import { copyText } from "../../ui/copy";
import { isText } from "../../canvas/geometry";
import { literal, parseEnd } from "../../document/wires";
import { specOf } from "../../document/specs";
import { Widget } from "../../widgets/Widget";
import { t } from "../../words";
import { Outcome } from "./Outcome";

/** The workflow's parameters alone, by group: what a person who only wants pictures needs. */
export function Form() {
  const document = useDocument(documentOf);
  const specs = useCatalogue((state) => state.specs);
  const drawn = useRun((state) => state.plan?.drawn);
  const scope = useDocument((state) => graphOf(state) !== documentOf(state));
  const parameters = Object.entries(document.parameters ?? {}).sort(([, a], [, b]) => (a.order ?? 99) - (b.order ?? 99));
  const saved = useDocument((state) => tabOf(state).name);
  const page = useUi((state) => state.page);
  if (scope) return <Empty>{t("Leave the sub-graph (Esc) to see the form.")}</Empty>;
  if (!parameters.length) return <Empty>{t("Select a node and press “show in the form” on an input.")}</Empty>;
  const groups = [...new Set(parameters.map(([, parameter]) => parameter.group ?? ""))];
  const link = `${location.origin}${location.pathname}?form=${encodeURIComponent(saved)}`;
  return (
    <>
      <Outcome />
      {!page && saved ? (
        <p className="note">
          <a href={link} target="_blank" rel="noreferrer">
            {t("Open this form as a page of its own")}
          </a>{" "}
          <button type="button" onClick={() => void copyText(link).then((done) => done && say(t("The address is in the clipboard.")))}>
            {t("copy its address")}
          </button>
        </p>
      ) : null}
      {groups.map((group) => (
        <section key={group} className="form">
          {group ? <h3>{group}</h3> : null}
          {parameters
            .filter(([, parameter]) => (parameter.group ?? "") === group)
            .map(([name, parameter]) => {
              const end = parseEnd(parameter.to[0] ?? "");
              const json = document.nodes[end.node];
              const input = json && specOf(json, document, specs)?.inputs.find((item) => item.name === end.output);
              if (!json || !input) return null;
              const held = literal(json.inputs[end.output]) ?? input.default;
              const [low, high, step] = parameter.range ?? [];
              const bounded = parameter.range ? { ...input, widget: { ...input.widget, low, high, step, soft: undefined } } : input;
              return (
                <div className="input" key={name}>
                  {input.widget?.kind === "file" && typeof held === "string" && held ? <img className="given" src={fileUrl("input", held)} alt={held} /> : null}
                  {isText(input) ? <span className="above">{parameter.label ?? name}</span> : null}
                  <Widget
                    node={end.node}
                    type={json.type}
                    input={bounded}
                    source={json.inputs[end.output]}
                    drawn={drawn?.[`${end.node}.${end.output}`]}
                    label={parameter.label ?? name}
                    live
                  />
                </div>
              );
            })}
        </section>
      ))}
    </>
  );
}
