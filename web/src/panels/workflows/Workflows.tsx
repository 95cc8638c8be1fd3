import { useEffect, useState } from "react";
import { api } from "../../protocol/http";
import type { WorkflowRow } from "../../protocol/types";
import { failed, save } from "../../state/actions";
import { documentOf, isDirty, tabOf, useDocument } from "../../state/document";
import { Empty, IconButton } from "../../ui/basics";
import { openWorkflow } from "./open";

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
