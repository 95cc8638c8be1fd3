import { useEffect, useState } from "react";
import { api } from "../../protocol/http";
import type { WorkflowRow } from "../../protocol/types";
import { failed, save } from "../../state/actions";
import { documentOf, isDirty, tabOf, useDocument } from "../../state/document";
import { useUi } from "../../state/ui";
import { Empty, IconButton } from "../../ui/basics";
import { Icon } from "../../ui/icons";
import { t } from "../../words";
import { inOrder } from "../templates/chapters";
import { openWorkflow } from "./open";

/** Yours and the templates: open, save, delete. */
export function Workflows() {
  const [rows, setRows] = useState<WorkflowRow[] | null>(null);
  const [query, setQuery] = useState("");
  const tab = useDocument(tabOf);
  const [name, setName] = useState(tab.name || (documentOf(useDocument.getState()).title ?? ""));
  const load = () => void api.workflows().then(setRows, failed);
  useEffect(load, []);
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = (rows ?? []).filter((row) => words.every((word) => `${row.name} ${row.title ?? ""} ${row.about ?? ""}`.toLowerCase().includes(word)));
  const yours = shown.filter((row) => row.origin === "yours");
  const templates = inOrder(shown.filter((row) => row.origin === "template"));
  const row = (item: WorkflowRow) => (
    <li key={item.name}>
      <button type="button" className="item" onClick={() => void openWorkflow(item.name)} title={item.about}>
        {item.thumbnail ? <img src={item.thumbnail} alt="" loading="lazy" /> : null}
        <b>{item.title || item.name}</b>
        <span>{item.about}</span>
      </button>
      {item.origin === "yours" ? (
        <IconButton icon="trash" label={t("Delete {name}", { name: item.name })} onClick={() => void api.remove(item.name).then(load, failed)} />
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
        <input aria-label={t("Save as")} placeholder={t("save this workflow as…")} value={name} onChange={(event) => setName(event.target.value)} />
        <button type="submit" disabled={!name.trim()}>
          {t("Save")}
        </button>
      </form>
      {isDirty(tab) ? <p className="note">{t("This workflow has unsaved changes; its tab is kept on the server.")}</p> : null}
      <button type="button" className="wide browse" onClick={() => useUi.getState().set({ templates: true })}>
        <Icon name="grid" size={14} /> {t("Browse with pictures")} <kbd>{t("Ctrl+O")}</kbd>
      </button>
      <input className="filter" type="search" aria-label={t("Search workflows")} placeholder={t("search…")} value={query} onChange={(event) => setQuery(event.target.value)} />
      <h3>{t("Yours")}</h3>
      {yours.length ? <ul className="rows">{yours.map(row)}</ul> : <Empty>{rows ? t("Nothing saved yet: give the open workflow a name above.") : "…"}</Empty>}
      <h3>{t("Templates")}</h3>
      {templates.length ? <ul className="rows">{templates.map(row)}</ul> : <Empty>{rows ? t("None is called that.") : "…"}</Empty>}
    </>
  );
}
