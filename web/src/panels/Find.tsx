import { Command } from "cmdk";
import { useMemo, useState } from "react";
import { useUi } from "../state/ui";
import { Dialog } from "../ui/basics";
import { t } from "../words";
import { everyNode, goTo } from "./going";

/** A node of this workflow by its title, name, type or what is typed into it, in whichever graph it is. */
export function Find() {
  const [query, setQuery] = useState("");
  const close = () => useUi.getState().set({ finding: false });
  const all = useMemo(() => everyNode(), []);
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((row) => words.every((word) => row.text.includes(word))).slice(0, 100);
  return (
    <Dialog label={t("Find a node")} className="palette" onClose={close}>
      <Command shouldFilter={false} label={t("Find a node")} loop>
        <Command.Input autoFocus value={query} onValueChange={setQuery} placeholder={t("Title, type or what is typed in…")} aria-label={t("Find a node")} />
        <Command.List>
          <Command.Empty>{t("No node has “{query}”.", { query })}</Command.Empty>
          {found.map((row) => (
            <Command.Item
              key={`${row.scope}/${row.name}`}
              value={`${row.scope}/${row.name}`}
              onSelect={() => {
                close();
                goTo(row.scope, row.name);
              }}
            >
              <span className="what">
                <b>{row.title}</b>
                <span>{row.about}</span>
              </span>
            </Command.Item>
          ))}
        </Command.List>
      </Command>
    </Dialog>
  );
}
