import { Command } from "cmdk";
import { type KeyboardEvent, useMemo, useState } from "react";
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
import { noteUse, weights } from "../state/used";
import { Dialog } from "../ui/basics";
import { plural, t } from "../words";
import { CHAPTERS, hueOf } from "../canvas/hues";
import { NodeHelp } from "./help/NodeHelp";
import { names } from "./search";

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
  const rows = useMemo(() => found(all, query, !!(request.wire ?? request.between ?? request.replace)), [all, query, request]);
  const [at, setAt] = useState("");
  const chosen = rows.find(({ key }) => key === at)?.spec ?? rows[0]?.spec;
  const choose = (spec: NodeSpec) => {
    close();
    const name = place(spec, request, specs);
    if (!name) return;
    noteUse(spec.id);
    canvas().focus(name);
  };
  const groups = [...new Set(rows.map((row) => row.group))];
  /** From chapter to chapter, while nothing is written. */
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "F1" && chosen) {
      event.preventDefault();
      event.stopPropagation();
      close();
      useUi.getState().set({ helping: chosen.id });
    }
    if (query || groups.length < 2 || (event.key !== "ArrowRight" && event.key !== "ArrowLeft")) return;
    event.preventDefault();
    const here = groups.indexOf(rows.find(({ key }) => key === at)?.group ?? groups[0] ?? "");
    const group = groups[(here + (event.key === "ArrowRight" ? 1 : groups.length - 1)) % groups.length];
    const first = rows.find((row) => row.group === group);
    if (!first) return;
    setAt(first.key);
    requestAnimationFrame(() => document.querySelector(`.palette [cmdk-group][data-group="${CSS.escape(first.group)}"]`)?.scrollIntoView({ block: "start" }));
  };
  const item = ({ spec, key }: Row) => (
    <Command.Item key={key} value={key} onSelect={() => choose(spec)}>
      <span className="stripe" style={{ background: `hsl(${hueOf(spec.category ?? "")} 55% 60%)` }} />
      <span className="what">
        <b>{spec.title}</b>
        <span>{spec.help.split("\n")[0]}</span>
      </span>
      <code>{spec.id}</code>
    </Command.Item>
  );
  const label = request.replace ? t("Replace a node") : request.between ? t("Put a node into a wire") : t("Add a node");
  return (
    <Dialog label={label} className="palette wide" onClose={close}>
      {request.between?.why ? <p className="why">{request.between.why}</p> : null}
      <Command shouldFilter={false} label={label} loop value={at} onValueChange={setAt} onKeyDown={onKeyDown}>
        <Command.Input autoFocus value={query} onValueChange={setQuery} placeholder={placeholder(request)} aria-label={t("Search nodes")} />
        <div className="beside">
          <Command.List>
            <Command.Empty>{nothing(request, query)}</Command.Empty>
            {groups.map((group) =>
              group ? (
                <Command.Group key={group} heading={group === RECENT ? t("Used lately") : group} data-group={group}>
                  {rows.filter((row) => row.group === group).map(item)}
                </Command.Group>
              ) : (
                rows.filter((row) => !row.group).map(item)
              ),
            )}
          </Command.List>
          {chosen ? (
            <div className="about" tabIndex={0} role="region" aria-label={t("Help for {name}", { name: chosen.title })}>
              <h2>{chosen.title}</h2>
              <NodeHelp key={chosen.id} spec={chosen} />
            </div>
          ) : null}
        </div>
      </Command>
    </Dialog>
  );
}

interface Row {
  spec: NodeSpec;
  /** Its name in the list: one that was used lately stands there twice. */
  key: string;
  /** The heading it stands under; "" for none. */
  group: string;
}

const RECENT = "\0recent";
const LATELY = 6;
const SHOWN = 80;

/** What the list shows. Nothing written: what was used lately, then chapter by chapter; else the best first, and of
 * equal ones those that are used more. */
function found(all: { spec: NodeSpec; rank: number }[], query: string, asked: boolean): Row[] {
  const used = weights();
  const use = (spec: NodeSpec): number => used.get(spec.id) ?? 0;
  if (!query && !asked) {
    const lately = all.filter(({ spec }) => use(spec) > 0).sort((a, b) => use(b.spec) - use(a.spec)).slice(0, LATELY);
    const chapters = [...all].sort((a, b) => chapterOf(a.spec) - chapterOf(b.spec));
    return [
      ...lately.map(({ spec }) => ({ spec, key: `recent ${spec.id}`, group: RECENT })),
      ...chapters.map(({ spec }) => ({ spec, key: spec.id, group: spec.flow ? "flow" : (spec.category ?? "flow").replaceAll("_", " ") })),
    ];
  }
  return all
    .map(({ spec, rank }) => ({ spec, rank, score: names(query, spec) }))
    .filter((row) => row.score > 0)
    .map((row) => ({ ...row, score: query ? row.score + Math.min(6, use(row.spec)) : row.score }))
    .sort((a, b) => (query ? 0 : b.rank - a.rank) || b.score - a.score || b.rank - a.rank || (query ? 0 : use(b.spec) - use(a.spec) || chapterOf(a.spec) - chapterOf(b.spec)))
    .slice(0, SHOWN)
    .map(({ spec }) => ({ spec, key: spec.id, group: "" }));
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
