import { blobUrl, fileUrl } from "../../protocol/http";
import { useCatalogue } from "../../state/catalogue";
import { documentOf, graphOf, tabOf, useDocument } from "../../state/document";
import { useRun } from "../../state/run";
import { useUi } from "../../state/ui";
import { Empty } from "../../ui/basics";
import { isText } from "../../canvas/geometry";
import { literal, parseEnd } from "../../document/wires";
import { specOf } from "../../document/specs";
import { Widget } from "../../widgets/Widget";
import { t } from "../../words";

/** The workflow's parameters alone, by group: what a person who only wants pictures needs. */
export function Form() {
  const document = useDocument(documentOf);
  const specs = useCatalogue((state) => state.specs);
  const drawn = useRun((state) => state.plan?.drawn);
  const pictures = useRun((state) => state.run.pictures);
  const scope = useDocument((state) => graphOf(state) !== documentOf(state));
  const parameters = Object.entries(document.parameters ?? {}).sort(([, a], [, b]) => (a.order ?? 99) - (b.order ?? 99));
  const saved = useDocument((state) => tabOf(state).name);
  const page = useUi((state) => state.page);
  if (scope) return <Empty>{t("Leave the sub-graph (Esc) to see the form.")}</Empty>;
  if (!parameters.length) return <Empty>{t("Select a node and press “show in the form” on an input.")}</Empty>;
  const groups = [...new Set(parameters.map(([, parameter]) => parameter.group ?? ""))];
  const results = Object.values(document.outputs ?? {}).flatMap((from) => pictures[parseEnd(from).node] ?? []);
  const shown = results.map((picture, index) => ({ url: blobUrl(picture.blob), label: t("result {n}", { n: index + 1 }) }));
  return (
    <>
      {shown.length ? (
        <div className="results">
          {shown.map((picture, at) => (
            <button type="button" key={picture.url} aria-label={t("Open {name}", { name: picture.label })} onClick={() => useUi.getState().set({ viewing: { pictures: shown, at } })}>
              <img src={picture.url} alt={picture.label} />
            </button>
          ))}
        </div>
      ) : null}
      {!page && saved ? (
        <p className="note">
          <a href={`?form=${encodeURIComponent(saved)}`} target="_blank" rel="noreferrer">
            {t("Open this form as a page of its own")}
          </a>
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
