import { Command } from "cmdk";
import { useMemo, useState } from "react";
import { typeAt } from "../canvas/wiring";
import { chain, type Command as Edit } from "../document/commands";
import { addNode, connect, converters, graphAt, replaceNode, splice, through } from "../document/operations";
import { fit, nameOf, socketType, specOf, type Specs, typeFrom, typeText } from "../document/specs";
import { endText } from "../document/wires";
import type { NodeSpec, Spot, WorkflowJson } from "../protocol/types";
import { canvas } from "../state/canvas";
import { clear } from "../canvas/arrange";
import { freeSlot, shapeOf } from "../canvas/geometry";
import { useCatalogue } from "../state/catalogue";
import { documentNow, graphNow, perform, scopeNow, useDocument } from "../state/document";
import { type PaletteRequest, say, useUi, type Wiring } from "../state/ui";
import { Dialog } from "../ui/basics";
import { best } from "../ui/fuzzy";
import { plural, t } from "../words";
import { CHAPTERS, hueOf } from "../canvas/hues";

/** Nodes by name, other tools' names and words; after a dropped wire only those that can take it, in a wire only those
 * that pass it on, in place of a node only those that keep a wire of it. */
export function Palette({ request }: { request: PaletteRequest }) {
  const specs = useCatalogue((state) => state.specs);
  const graphs = useDocument(() => documentNow().graphs);
  const [query, setQuery] = useState("");
  const close = () => useUi.getState().set({ palette: null });
  const all = useMemo(() => {
    const own = Object.keys(graphs ?? {})
      .filter((name) => name !== scopeNow())
      .flatMap((name) => specOf({ type: `#${name}`, inputs: {} }, documentNow(), specs) ?? []);
    return ranked([...specs.all.filter((spec) => !spec.deprecated), ...own], request, specs);
  }, [specs, graphs, request]);
  const found = useMemo(
    () =>
      all
        .map(({ spec, rank }) => ({ spec, rank, score: best(query, [spec.title, spec.id, ...(spec.aliases ?? []), spec.category ?? ""]) }))
        .filter((row) => row.score > 0)
        .sort((a, b) => (query ? 0 : b.rank - a.rank) || b.score - a.score || b.rank - a.rank || (query ? 0 : chapterOf(a.spec) - chapterOf(b.spec)))
        .slice(0, 80),
    [all, query],
  );
  const choose = (spec: NodeSpec) => {
    close();
    const name = place(spec, request, specs);
    if (name) canvas().focus(name);
  };
  const label = request.replace ? t("Replace a node") : request.between ? t("Put a node into a wire") : t("Add a node");
  return (
    <Dialog label={label} className="palette" onClose={close}>
      {request.between?.why ? <p className="why">{request.between.why}</p> : null}
      <Command shouldFilter={false} label={label} loop>
        <Command.Input autoFocus value={query} onValueChange={setQuery} placeholder={placeholder(request)} aria-label={t("Search nodes")} />
        <Command.List>
          <Command.Empty>{nothing(request, query)}</Command.Empty>
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

/** The nodes that can be what is asked for, each with how well it fits. */
function ranked(all: NodeSpec[], request: PaletteRequest, specs: Specs): { spec: NodeSpec; rank: number }[] {
  const { wire, between, replace } = request;
  if (wire) return all.filter((spec) => meets(spec, wire, specs) !== null).map((spec) => ({ spec, rank: takes(spec, wire) }));
  if (between) {
    const source = typeFrom(endText(between.from), graphNow(), documentNow(), specs);
    const target = typeAt(between.to.node, between.to.slot, "target");
    const fits = all.filter((spec) => !spec.flow || spec.id === "reroute").filter((spec) => through(spec, source, target, specs));
    const order = converters(source, target, specs);
    const rank = (spec: NodeSpec) => (spec.id === "reroute" ? 1e4 : order.includes(spec) ? 1000 - order.indexOf(spec) : 0);
    return fits.map((spec) => ({ spec, rank: rank(spec) }));
  }
  if (replace) {
    const type = graphNow().nodes[replace]?.type;
    return all.flatMap((spec) => {
      const made = spec.id === type || spec.flow ? null : replaceNode(documentNow(), specs, scopeNow(), replace, spec);
      if (!made || (made.wires > 0 && made.kept === 0)) return [];
      const same = specs.byId.get(type ?? "")?.category === spec.category ? 0.5 : 0;
      return [{ spec, rank: made.kept + same }];
    });
  }
  return all.map((spec) => ({ spec, rank: 0 }));
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

function placeholder({ wire, between, replace }: PaletteRequest): string {
  if (replace) return t("Replace it by…");
  if (between) return t("Put into the wire…");
  if (!wire) return t("Add a node…");
  const type = typeText(wire.carries);
  return wire.type === "source" ? t("What takes {type}?", { type }) : t("What gives {type}?", { type });
}

function nothing({ wire, between, replace }: PaletteRequest, query: string): string {
  if (query) return t("No node is called “{query}”.", { query });
  if (replace) return t("No other node keeps a wire of this one.");
  if (between) return t("No node passes that on.");
  if (!wire) return t("There are no nodes.");
  const type = typeText(wire.carries);
  return wire.type === "source" ? t("No node takes {type}.", { type }) : t("No node gives {type}.", { type });
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

/** The chosen node comes to its place, with its wire, as one undo step. Its name, or null where it could not. */
function place(spec: NodeSpec, request: PaletteRequest, specs: Specs): string | null {
  const scope = scopeNow();
  const { wire, between, replace } = request;
  const spot = { x: request.at.x - (wire?.type === "target" ? 232 : 0), y: request.at.y - 20 };
  if (replace) {
    const made = replaceNode(documentNow(), specs, scope, replace, spec);
    if (made) perform(made.command);
    if (made && made.kept < made.wires) say(plural(made.wires - made.kept, "One wire found no socket.", "{n} wires found no socket."));
    return made ? replace : null;
  }
  if (between) {
    const made = splice(documentNow(), specs, scope, between.from, between.to, spec.id, midway(spec, between) ?? spot);
    if (!made) return null;
    perform(made);
    useUi.getState().set({ selected: [made.name] });
    return made.name;
  }
  const added = addNode(documentNow(), scope, spec, spot);
  const socket = wire && meets(spec, wire, specs);
  const join = (document: WorkflowJson): Edit | null => {
    if (!wire || !socket) return null;
    if (wire.type === "target") return connect(document, scope, { node: added.name, output: socket }, { node: wire.node, slot: wire.handle });
    const json = graphAt(document, scope).nodes[added.name];
    const input = spec.inputs.find((item) => item.name === socket);
    const slot = input?.gather && json ? freeSlot(input, json) : socket;
    return connect(document, scope, { node: wire.node, output: wire.handle }, { node: added.name, slot });
  };
  perform(chain(documentNow(), added.label, () => added, join));
  useUi.getState().set({ selected: [added.name] });
  return added.name;
}

/** Between the two nodes, where nothing is covered. */
function midway(spec: NodeSpec, { from, to }: NonNullable<PaletteRequest["between"]>): Spot | null {
  const { [from.node]: a, [to.node]: b } = canvas().boxes([from.node, to.node]);
  if (!a || !b) return null;
  const { width, height } = shapeOf({ type: spec.id, inputs: {} }, spec);
  const box = { x: (a.x + a.width + b.x - width) / 2, y: Math.min(a.y, b.y), width, height };
  const others = Object.entries(canvas().boxes(canvas().all())).filter(([id]) => !id.startsWith("#frame/"));
  return clear(box, others.map(([, other]) => other));
}
