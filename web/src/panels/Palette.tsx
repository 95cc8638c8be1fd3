import { Command } from "cmdk";
import { useMemo, useState } from "react";
import { addNode, connect, graphAt } from "../document/operations";
import { fit, nameOf, socketType, specOf, type Specs, typeText } from "../document/specs";
import type { NodeSpec } from "../protocol/types";
import { freeSlot } from "../canvas/geometry";
import { useCatalogue } from "../state/catalogue";
import { documentNow, perform, scopeNow, useDocument } from "../state/document";
import { type PaletteRequest, useUi, type Wiring } from "../state/ui";
import { Dialog } from "../ui/basics";
import { best } from "../ui/fuzzy";
import { CHAPTERS, hueOf } from "../canvas/hues";

/** Nodes by name, other tools' names and words; after a dropped wire only those that can take it. */
export function Palette({ request }: { request: PaletteRequest }) {
  const specs = useCatalogue((state) => state.specs);
  const graphs = useDocument(() => documentNow().graphs);
  const [query, setQuery] = useState("");
  const close = () => useUi.getState().set({ palette: null });
  const all = useMemo(() => {
    const own = Object.keys(graphs ?? {})
      .filter((name) => name !== scopeNow())
      .flatMap((name) => specOf({ type: `#${name}`, inputs: {} }, documentNow(), specs) ?? []);
    return [...specs.all.filter((spec) => !spec.deprecated), ...own].filter(
      (spec) => !request.wire || meets(spec, request.wire, specs) !== null,
    );
  }, [specs, graphs, request.wire]);
  const found = useMemo(
    () =>
      all
        .map((spec) => ({
          spec,
          score: best(query, [spec.title, spec.id, ...(spec.aliases ?? []), spec.category ?? ""]),
          exact: request.wire && !query ? takes(spec, request.wire) : 0,
        }))
        .filter((row) => row.score > 0)
        .sort((a, b) => b.exact - a.exact || b.score - a.score || (query ? 0 : chapterOf(a.spec) - chapterOf(b.spec)))
        .slice(0, 80),
    [all, query, request.wire],
  );
  const choose = (spec: NodeSpec) => {
    close();
    place(spec, request, specs);
  };
  return (
    <Dialog label="Add a node" className="palette" onClose={close}>
      <Command shouldFilter={false} label="Add a node" loop>
        <Command.Input autoFocus value={query} onValueChange={setQuery} placeholder={placeholder(request.wire)} aria-label="Search nodes" />
        <Command.List>
          <Command.Empty>
            {request.wire ? `No node ${request.wire.type === "source" ? "takes" : "gives"} ${typeText(request.wire.carries)}.` : `No node is called “${query}”.`}
          </Command.Empty>
          {found.map(({ spec }) => (
            <Command.Item key={spec.id} value={spec.id} onSelect={() => choose(spec)}>
              <span className="stripe" style={{ background: `hsl(${hueOf(spec.category ?? "")} 55% 60%)` }} />
              <span className="what">
                <b>{spec.title}</b>
                <span>{spec.help.split("\n")[0]}</span>
              </span>
              <code>{spec.id}</code>
            </Command.Item>
          ))}
        </Command.List>
      </Command>
    </Dialog>
  );
}

const chapterOf = (spec: NodeSpec): number => {
  const at = CHAPTERS.indexOf(spec.flow ? "flow" : (spec.category ?? ""));
  return at < 0 ? CHAPTERS.length : at;
};

/** 1 where a socket is of the very type of the wire, not merely one that takes anything. */
function takes(spec: NodeSpec, wire: Wiring): number {
  const sockets = wire.type === "source" ? spec.inputs : spec.outputs;
  return sockets.some((socket) => nameOf(socket.type) === nameOf(wire.carries)) ? 1 : 0;
}

function placeholder(wire: Wiring | undefined): string {
  if (!wire) return "Add a node…";
  return wire.type === "source" ? `What takes ${typeText(wire.carries)}?` : `What gives ${typeText(wire.carries)}?`;
}

/** The socket of a node that the dropped wire can end in: exact before unknown; null when there is none. */
function meets(spec: NodeSpec, wire: Wiring, specs: Specs): string | null {
  const sockets = wire.type === "source" ? spec.inputs.filter((input) => input.wired !== false) : spec.outputs;
  const answers = sockets.map((socket) => ({
    name: socket.name,
    fit: (wire.type === "source" ? fit(wire.carries, socketType(socket), specs) : fit(socket.type, wire.carries, specs)).fit,
  }));
  return (answers.find((a) => a.fit === "fits") ?? answers.find((a) => a.fit === "unknown"))?.name ?? null;
}

function place(spec: NodeSpec, request: PaletteRequest, specs: Specs): void {
  const added = addNode(documentNow(), scopeNow(), spec, { x: request.at.x - (request.wire?.type === "target" ? 232 : 0), y: request.at.y - 20 });
  perform(added);
  useUi.getState().set({ selected: [added.name] });
  const { wire } = request;
  const socket = wire && meets(spec, wire, specs);
  if (!wire || !socket) return;
  const document = documentNow();
  if (wire.type === "source") {
    const json = graphAt(document, scopeNow()).nodes[added.name];
    const input = spec.inputs.find((item) => item.name === socket);
    const slot = input?.gather && json ? freeSlot(input, json) : socket;
    perform(connect(document, scopeNow(), { node: wire.node, output: wire.handle }, { node: added.name, slot }));
  } else {
    perform(connect(document, scopeNow(), { node: added.name, output: socket }, { node: wire.node, slot: wire.handle }));
  }
}
