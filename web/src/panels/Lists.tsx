import { useEffect, useState } from "react";
import { api, blobUrl, fileUrl } from "../protocol/http";
import type { Problem, WorkflowRow } from "../protocol/types";
import { applyMend, failed, refreshQueue, save } from "../state/actions";
import { specsNow, useCatalogue } from "../state/catalogue";
import { canvas } from "../state/canvas";
import { documentOf, graphOf, isDirty, tabOf, useDocument } from "../state/document";
import { useRun } from "../state/run";
import { useUi } from "../state/ui";
import { Empty, IconButton } from "../ui/basics";
import { isText } from "../canvas/geometry";
import { withSpots } from "../canvas/layout";
import { literal, parseEnd } from "../document/wires";
import { specOf } from "../document/specs";
import { Widget } from "../widgets/Widget";
import { t } from "../words";

export async function openWorkflow(name: string): Promise<void> {
  try {
    const found = await api.workflow(name);
    useDocument.getState().open(withSpots(found.workflow, specsNow()), name.startsWith("template:") ? "" : name);
    useUi.getState().set({ selected: [] });
  } catch (error) {
    failed(error);
  }
}

/** Yours and the templates: open, save, delete. */
export function Workflows() {
  const [rows, setRows] = useState<WorkflowRow[] | null>(null);
  const [query, setQuery] = useState("");
  const tab = useDocument(tabOf);
  const [name, setName] = useState(tab.name || (documentOf(useDocument.getState()).title ?? ""));
  const load = () => void api.workflows().then(setRows, failed);
  useEffect(load, []);
  const shown = (rows ?? []).filter((row) => `${row.name} ${row.title ?? ""} ${row.about ?? ""}`.toLowerCase().includes(query.toLowerCase()));
  const yours = shown.filter((row) => row.origin === "yours");
  const templates = shown.filter((row) => row.origin === "template");
  const row = (item: WorkflowRow) => (
    <li key={item.name}>
      <button type="button" className="item" onClick={() => void openWorkflow(item.name)}>
        {item.thumbnail ? <img src={item.thumbnail} alt="" /> : null}
        <b>{item.title || item.name}</b>
        <span>{item.about}</span>
      </button>
      {item.origin === "yours" ? (
        <IconButton icon="trash" label={`Delete ${item.name}`} onClick={() => void api.remove(item.name).then(load, failed)} />
      ) : null}
    </li>
  );
  return (
    <>
      <form
        className="save-as"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim()) void save(name.trim()).then((done) => done && load());
        }}
      >
        <input aria-label="Save as" placeholder="save this workflow as…" value={name} onChange={(event) => setName(event.target.value)} />
        <button type="submit" disabled={!name.trim()}>
          Save
        </button>
      </form>
      <input className="filter" type="search" aria-label="Search workflows" placeholder="search…" value={query} onChange={(event) => setQuery(event.target.value)} />
      {isDirty(tab) ? <p className="note">This workflow has unsaved changes; they are kept in this browser.</p> : null}
      <h3>Yours</h3>
      {yours.length ? <ul className="rows">{yours.map(row)}</ul> : <Empty>{rows ? "Nothing saved yet: give the open workflow a name above." : "…"}</Empty>}
      <h3>Templates</h3>
      {templates.length ? <ul className="rows">{templates.map(row)}</ul> : <Empty>{rows ? "None is called that." : "…"}</Empty>}
    </>
  );
}

export function Queue() {
  const jobs = useRun((state) => state.queue);
  const paused = useRun((state) => state.paused);
  const open = jobs.filter((job) => job.state === "queued" || job.state === "running");
  const then = (work: Promise<unknown>) => void work.then(refreshQueue, failed);
  return (
    <>
      <div className="bar">
        <button type="button" onClick={() => then(api.queue({ paused: !paused }))}>
          {paused ? "Go on" : "Pause"}
        </button>
        <button type="button" disabled={!open.length} onClick={() => then(api.queue({ clear: true }))}>
          Clear
        </button>
      </div>
      <ul className="rows">
        {open.map((job) => (
          <li key={job.id}>
            <span className="item">
              <b>{job.title || "untitled"}</b>
              <span>{job.state === "running" ? "running" : "waits"}</span>
            </span>
            {job.state === "queued" ? <IconButton icon="up" label="To the front" onClick={() => then(api.move(job.id, 0))} /> : null}
            <IconButton icon="close" label="Cancel" onClick={() => then(api.cancel(job.id))} />
          </li>
        ))}
      </ul>
      {open.length ? null : <Empty>{paused ? "The queue is paused." : "Nothing waits."}</Empty>}
    </>
  );
}

export function Problems() {
  const plan = useRun((state) => state.plan);
  const ran = useRun((state) => state.run.problems);
  const rows = [...(plan?.problems ?? []), ...(plan?.lints ?? []), ...ran];
  const go = (problem: Problem) => {
    const top = problem.where?.path?.split(/[/[]/)[0];
    if (!top) return;
    useUi.getState().set({ selected: [top] });
    canvas().fit([top]);
  };
  return (
    <>
      <ul className="rows problems">
        {rows.map((problem, index) => (
          <li key={index} className={problem.severity === "lint" ? "lint" : "wrong"}>
            <button type="button" className="item" onClick={() => go(problem)}>
              <b>{[problem.where?.path, problem.where?.socket].filter(Boolean).join(".") || problem.code}</b>
              <span>{problem.message}</span>
            </button>
            {problem.mend ? (
              problem.mend.edits.length ? (
                <button type="button" className="mend" onClick={() => applyMend(problem)}>
                  {problem.mend.text}
                </button>
              ) : (
                <em>{problem.mend.text}</em>
              )
            ) : null}
            {problem.report ? (
              <details>
                <summary>report</summary>
                <pre>{problem.report}</pre>
              </details>
            ) : null}
          </li>
        ))}
      </ul>
      {rows.length ? null : <Empty>Nothing is wrong.</Empty>}
    </>
  );
}

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
  if (scope) return <Empty>Leave the sub-graph (Esc) to see the form.</Empty>;
  if (!parameters.length) return <Empty>Select a node and press “show in the form” on an input.</Empty>;
  const groups = [...new Set(parameters.map(([, parameter]) => parameter.group ?? ""))];
  const results = Object.values(document.outputs ?? {}).flatMap((from) => pictures[parseEnd(from).node] ?? []);
  const shown = results.map((picture, index) => ({ url: blobUrl(picture.blob), label: `result ${index + 1}` }));
  return (
    <>
      {shown.length ? (
        <div className="results">
          {shown.map((picture, at) => (
            <button type="button" key={picture.url} aria-label={`Open ${picture.label}`} onClick={() => useUi.getState().set({ viewing: { pictures: shown, at } })}>
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

