import { Command } from "cmdk";
import { useMemo, useState } from "react";
import { type Candidate, candidates, link } from "../canvas/linking";
import { typeText } from "../document/specs";
import { canvas } from "../state/canvas";
import { type Linking, useUi } from "../state/ui";
import { Dialog } from "../ui/basics";
import { score } from "../ui/fuzzy";
import { t } from "../words";

/** A wire made with the keyboard: every socket that takes it, the nearest first, and a new node as the last choice. */
export function Connect({ linking }: { linking: Linking }) {
  const [query, setQuery] = useState("");
  const held = useMemo(() => candidates(linking), [linking]);
  const close = () => useUi.getState().set({ linking: null });
  const back = () => canvas().focus(linking.node, linking.slot);
  const type = typeText(held.carries);
  const found = held.rows.filter((row) => !query || score(query, `${row.title} ${row.node} ${row.slot}`) > 0).slice(0, 100);
  const title =
    linking.side === "source"
      ? t("Wire {from} ({type}) to…", { from: `${linking.node}.${linking.slot}`, type })
      : t("Wire into {to} ({type}) from…", { to: `${linking.node}.${linking.slot}`, type });
  const choose = (row: Candidate) => {
    close();
    link(linking, row);
    back();
  };
  return (
    <Dialog label={title} className="palette" onClose={close}>
      <Command shouldFilter={false} label={title} loop>
        <Command.Input autoFocus value={query} onValueChange={setQuery} placeholder={title} aria-label={title} />
        <Command.List>
          {found.map((row) => (
            <Command.Item key={`${row.node}|${row.slot}`} value={`${row.node}|${row.slot}`} onSelect={() => choose(row)}>
              <span className="stripe" style={{ background: row.colour }} />
              <span className="what">
                <b>{`${row.title} · ${row.slot.replace("/", " ")}`}</b>
                <span>{row.wired ? t("{node}; takes the place of {wired}", { node: row.node, wired: row.wired }) : row.node}</span>
              </span>
              <code>{row.type}</code>
            </Command.Item>
          ))}
          <Command.Item
            value="a new node"
            onSelect={() => {
              close();
              const box = canvas().boxes([linking.node])[linking.node];
              const at = { x: (box?.x ?? 0) + (linking.side === "source" ? (box?.width ?? 0) + 64 : -64), y: (box?.y ?? 0) + 20 };
              useUi.getState().set({ palette: { at, wire: { node: linking.node, handle: linking.slot, type: linking.side, carries: held.carries } } });
            }}
          >
            <span className="what">
              <b>{linking.side === "source" ? t("A new node that takes {type}…", { type }) : t("A new node that gives {type}…", { type })}</b>
            </span>
          </Command.Item>
        </Command.List>
      </Command>
    </Dialog>
  );
}
