import { Command } from "cmdk";
import { useState } from "react";
import { specsNow } from "../state/catalogue";
import { canvas } from "../state/canvas";
import { graphNow } from "../state/document";
import { useUi } from "../state/ui";
import { Dialog } from "../ui/basics";
import { best } from "../ui/fuzzy";
import { t, type Text } from "../words";
import { COMMANDS } from "./commands";

/** Everything the editor can do, by name; and the nodes of the graph, to go to. */
export function CommandPalette() {
  const [query, setQuery] = useState("");
  const close = () => useUi.getState().set({ commands: false });
  const commands = COMMANDS.map((row) => ({ row, score: best(query, [t(row.title), row.title, row.group]) }))
    .filter((found) => found.score > 0 && found.row.id !== "commands")
    .sort((a, b) => (query ? b.score - a.score : 0));
  const nodes = query
    ? Object.entries(graphNow().nodes)
        .map(([name, node]) => ({ name, title: node.title ?? specsNow().byId.get(node.type)?.title ?? node.type }))
        .filter(({ name, title }) => best(query, [name, title]) > 0)
        .slice(0, 8)
    : [];
  return (
    <Dialog label={t("All commands")} className="palette" onClose={close}>
      <Command shouldFilter={false} label={t("All commands")} loop>
        <Command.Input autoFocus value={query} onValueChange={setQuery} placeholder={t("Do something…")} aria-label={t("Search commands")} />
        <Command.List>
          <Command.Empty>{t("Nothing is called “{query}”.", { query })}</Command.Empty>
          {commands.map(({ row }) => (
            <Command.Item
              key={row.id}
              value={row.id}
              onSelect={() => {
                close();
                row.run();
              }}
            >
              <span className="what">
                <b>{t(row.title)}</b>
              </span>
              <span className="keys">{row.keys?.[0] ? <kbd>{row.shown ?? row.keys[0]}</kbd> : t(row.group)}</span>
            </Command.Item>
          ))}
          {nodes.map(({ name, title }) => (
            <Command.Item
              key={`node ${name}`}
              value={`node ${name}`}
              onSelect={() => {
                close();
                useUi.getState().set({ selected: [name] });
                canvas().fit([name]);
              }}
            >
              <span className="what">
                <b>{title}</b>
                <span>{t("go to {name}", { name })}</span>
              </span>
            </Command.Item>
          ))}
        </Command.List>
      </Command>
    </Dialog>
  );
}

export function CheatSheet() {
  const close = () => useUi.getState().set({ cheatSheet: false });
  const groups = ["Run", "Edit", "Arrange", "View", "File", "Help"] as const;
  const hands: [Text, Text][] = [
    ["Double-click the canvas", "add a node"],
    ["Drop a wire on the canvas", "add what fits, wired"],
    ["Drop a wire where it does not fit", "put between what makes it fit"],
    ["Drop a node on a wire", "put it into the wire"],
    ["Double-click a wire", "put a bend into it"],
    ["Drag a wired input", "take the wire elsewhere; dropped on nothing it is cut"],
    ["Shift + drag an output", "move all its wires"],
    ["Alt + drag a node", "take a copy along"],
    ["Double-click a title", "write it"],
    ["Ctrl + right drag", "cut the wires it crosses"],
    ["Right click, Shift+F10", "what can be done here"],
    ["Shift + drag", "select with a box"],
    ["Drag over a number", "change it; Shift is finer, Ctrl coarser"],
    ["Ctrl+↑ / Ctrl+↓ in a prompt", "weigh the word"],
    ["Ctrl+C / Ctrl+V", "copy, paste; Ctrl+Shift+V with wires"],
    ["Double-click a sub-graph", "enter it; Esc leaves"],
    ["Drop a saved picture", "its workflow comes back"],
    ["Arrows, Enter, Esc", "from node to node, into it, back"],
    ["Enter on a socket", "begin a wire"],
    ["Alt + arrows", "move the selected nodes"],
  ];
  return (
    <Dialog label={t("Keys")} className="sheet" onClose={close}>
      <h2>{t("Keys")}</h2>
      <div className="columns">
        {groups.map((name) => (
          <section key={name}>
            <h3>{t(name)}</h3>
            <dl>
              {COMMANDS.filter((row) => row.group === name && row.keys).map((row) => (
                <div key={row.id}>
                  <dt>{(row.shown ? [row.shown] : row.keys)?.map((keys) => <kbd key={keys}>{keys}</kbd>)}</dt>
                  <dd>{t(row.title)}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <section>
          <h3>{t("By hand")}</h3>
          <dl>
            {hands.map(([what, does]) => (
              <div key={what}>
                <dt>{t(what)}</dt>
                <dd>{t(does)}</dd>
              </div>
            ))}
          </dl>
        </section>
      </div>
    </Dialog>
  );
}
