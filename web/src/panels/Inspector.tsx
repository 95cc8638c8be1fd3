import { useState } from "react";
import { expose, rename, retitle, setValue } from "../document/operations";
import { hasWidget, specOf, typeText } from "../document/specs";
import { literal } from "../document/wires";
import { bytes, duration, type Forecast } from "../run/state";
import { applyMend } from "../state/actions";
import { useCatalogue } from "../state/catalogue";
import { documentNow, documentOf, graphOf, perform, prefixOf, scopeNow, useDocument } from "../state/document";
import { useRun } from "../state/run";
import { useUi } from "../state/ui";
import { IconButton } from "../ui/basics";
import { Widget } from "../widgets/Widget";
import { t, type Text } from "../words";

const NEXT: Record<Forecast, Text> = {
  run: "runs",
  cached: "cached",
  maybe: "may run",
  light: "free",
  failed: "cannot run",
  unused: "not needed",
  unknown: "not planned yet",
};

/** All about the selected node: its names, every input with its help, why it runs, what it took. */
export function Inspector() {
  const selected = useUi((state) => state.selected);
  const graph = useDocument(graphOf);
  const names = selected.filter((id) => graph.nodes[id]);
  const name = names.length === 1 ? names[0] : undefined;
  return name ? <About key={name} name={name} /> : null;
}

function About({ name }: { name: string }) {
  const document = useDocument(documentOf);
  const graph = useDocument(graphOf);
  const path = useDocument(prefixOf) + name;
  const specs = useCatalogue((state) => state.specs);
  const outlook = useRun((state) => state.outlooks[path]);
  const ran = useRun((state) => state.run.nodes[path]);
  const drawn = useRun((state) => state.plan?.drawn);
  const problems = useRun((state) => state.problems[path]);
  const json = graph.nodes[name];
  const [wanted, setWanted] = useState(name);
  if (!json) return null;
  const spec = specOf(json, document, specs);
  const commitName = () => {
    const command = rename(documentNow(), scopeNow(), name, wanted);
    if (perform(command)) useUi.getState().set({ selected: [wanted.replace(/[./#]/g, " ").trim()] });
    else setWanted(name);
  };
  return (
    <aside className="inspector" aria-label={t("About {name}", { name })}>
      <header>
        <input
          aria-label={t("Title")}
          className="title"
          value={json.title ?? ""}
          placeholder={spec?.title ?? json.type}
          onChange={(event) => perform({ ...retitle(scopeNow(), name, event.target.value), merge: `title ${name}` })}
          onBlur={() => useDocument.getState().settle()}
        />
        <span className="type">
          <code>{json.type}</code>
          {spec ? <IconButton icon="help" label={t("Help for the node (F1)")} onClick={() => useUi.getState().set({ helping: json.type })} /> : null}
        </span>
      </header>
      {spec ? <p className="help" tabIndex={0}>{spec.help.split("\n\n")[0]?.replaceAll("\n", " ")}</p> : <p className="help wrong">{t("No installed pack has this node; it keeps its place and its wires.")}</p>}
      {problems?.map((problem, index) => (
        <p key={index} className={`problem ${problem.severity === "lint" ? "lint" : ""}`}>
          {problem.message}
          {problem.mend ? (
            problem.mend.edits.length ? (
              <button type="button" className="mend" onClick={() => applyMend(problem)}>
                {problem.mend.text}
              </button>
            ) : (
              <em> {problem.mend.text}</em>
            )
          ) : null}
        </p>
      ))}
      <dl className="facts">
        {outlook ? (
          <>
            <dt>{t("next run")}</dt>
            <dd>
              {t(NEXT[outlook.forecast])}
              {outlook.why ? ` – ${outlook.why}` : ""}
              {outlook.seconds !== null && outlook.forecast === "run" ? `, ≈ ${duration(outlook.seconds)}` : ""}
            </dd>
          </>
        ) : null}
        {ran?.seconds !== undefined ? (
          <>
            <dt>{t("last run")}</dt>
            <dd>
              {duration(ran.seconds)}
              {ran.peak ? `, ${t("peak {bytes}", { bytes: bytes(ran.peak) })}` : ""}
            </dd>
          </>
        ) : null}
        {ran?.files?.length ? (
          <>
            <dt>{t("saved")}</dt>
            <dd>{ran.files.join(", ")}</dd>
          </>
        ) : null}
      </dl>
      <label className="field">
        <span>{t("name")}</span>
        <input
          value={wanted}
          onChange={(event) => setWanted(event.target.value)}
          onBlur={commitName}
          onKeyDown={(event) => event.key === "Enter" && commitName()}
        />
      </label>
      {spec?.inputs.filter(hasWidget).map((input) => {
        const target = `${name}.${input.name}`;
        const parameter = Object.entries(graph.parameters ?? {}).find(([, item]) => item.to.includes(target));
        const source = json.inputs[input.name];
        const changed = source !== undefined && input.default !== undefined && JSON.stringify(literal(source)) !== JSON.stringify(input.default);
        return (
          <div className="input" key={input.name}>
            <Widget node={name} type={json.type} input={input} source={source} live drawn={drawn?.[`${path}.${input.name}`]} />
            <span className="beside">
              {changed && typeof source !== "object" ? (
                <IconButton
                  icon="undo"
                  label={input.default === "" ? t("clear") : t("reset to {value}", { value: String(input.default) })}
                  onClick={() => perform(setValue(scopeNow(), name, input.name, undefined))}
                />
              ) : null}
              <IconButton
                icon="form"
                pressed={!!parameter}
                label={parameter ? t("in the form as “{name}”", { name: parameter[0] }) : t("show in the form")}
                onClick={() => perform(expose(documentNow(), scopeNow(), name, input))}
              />
            </span>
            {input.help ? <p className="under">{input.help}</p> : null}
          </div>
        );
      })}
      {spec?.outputs.length ? (
        <p className="outs">
          {t("gives {outputs}", { outputs: spec.outputs.map((output) => `${output.name}: ${typeText(output.type)}`).join(", ") })}
        </p>
      ) : null}
    </aside>
  );
}
