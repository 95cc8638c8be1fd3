import { Handle, type Node, type NodeProps, Position, useStore } from "@xyflow/react";
import { type CSSProperties, memo } from "react";
import { baseName, unfold, wouldCircle } from "../document/operations";
import { colourOf, fit, labelOf, socketType, type Specs, typeText } from "../document/specs";
import type { InputSpec, NodeJson, NodeSpec, Picture, Problem, TypeJson } from "../protocol/types";
import { srcOf } from "../protocol/http";
import { bytes, duration, type NodeRun, type Outlook } from "../run/state";
import { applyMend } from "../state/actions";
import { useCatalogue } from "../state/catalogue";
import { documentNow, perform, scopeNow } from "../state/document";
import { useRun } from "../state/run";
import { useUi, type Wiring } from "../state/ui";
import { PaintButton } from "../widgets/PaintButton";
import { Widget } from "../widgets/Widget";
import { plural, t, type Text } from "../words";
import { Icon } from "../ui/icons";
import type { MoreRow, Shape } from "./geometry";
import { NodeTitle } from "./NodeTitle";
import { Passing } from "./Passing";

export interface CardData {
  name: string;
  path: string;
  json: NodeJson;
  spec: NodeSpec | undefined;
  shape: Shape;
  hue: number;
  collapsed: boolean;
  exposed: ReadonlySet<string>;
  [key: string]: unknown;
}

export type CardNode = Node<CardData, "card">;

/** Below this zoom a node is a plain box. */
export const FAR = 0.4;
const NONE: Problem[] = [];

export const titleOf = (data: { json: NodeJson; spec: NodeSpec | undefined; name: string }): string =>
  data.json.title || data.spec?.title || data.json.type;

/** A node of the graph as a compact card. Its geometry comes with its data; nothing here is measured. */
export const NodeCard = memo(function NodeCard({ data, selected }: NodeProps<CardNode>) {
  const far = useStore((state) => state.transform[2] < FAR);
  const state = useRun((held) => held.run.nodes[data.path]);
  const outlook = useRun((held) => held.outlooks[data.path]);
  const pictures = useRun((held) => held.inputs[data.path] ?? held.run.pictures[data.path]);
  const problems = useRun((held) => held.problems[data.path]) ?? NONE;
  const wiring = useUi((held) => held.wiring);
  const writing = useUi((held) => held.writing === data.name);
  const busy = useRun((held) => held.run.state === "running");
  const specs = useCatalogue((held) => held.specs);
  const { json, spec, shape, name } = data;
  const errors = problems.filter((problem) => problem.severity !== "lint");
  const failed = state?.phase === "failed" && state.problem && !errors.length ? [...errors, state.problem] : errors;
  const title = titleOf(data);
  const classes = [
    "card",
    selected ? "selected" : "",
    json.mode ?? "",
    failed.length ? "wrong" : "",
    busy ? (state?.phase ?? "") : forecastClass(outlook),
    spec ? "" : "unknown",
    far ? "far" : "",
  ];
  const style = { width: shape.width, height: shape.height, "--hue": data.hue } as CSSProperties;
  if (json.type === "reroute") {
    return (
      <div className={`bend ${selected ? "selected" : ""}`} style={style} data-node={name}>
        {shape.handles.map((handle) => (
          <Socket key={handle.type} id={handle.id} side={handle.type} top={shape.height / 2} type="any" name={name} specs={specs} wiring={wiring} />
        ))}
      </div>
    );
  }
  if (far) {
    return (
      <div className={classes.join(" ")} style={style}>
        <span className="far-title">{title}</span>
      </div>
    );
  }
  return (
    <article className={classes.join(" ")} style={style} aria-label={`${title}, ${name}`} data-node={name}>
      <header className="head" title={spec ? `${name} – ${firstLine(spec.help)}` : t("{type}: no installed pack has it", { type: json.type })}>
        <StateMark state={state} outlook={outlook} busy={busy} mode={json.mode} />
        {writing ? (
          <NodeTitle name={name} title={json.title ?? ""} standard={spec?.title ?? json.type} />
        ) : (
          <span className="title">
            {title}
            {baseName(json.type) === name || json.title ? null : <small>{name}</small>}
          </span>
        )}
        <span className="figures" title={memoryWords(state, outlook, busy)}>
          {figures(state, outlook, busy)}
        </span>
      </header>
      <Progress state={state} />
      {data.collapsed
        ? shape.handles.map((handle) => (
            <Socket key={handle.type + handle.id} id={handle.id} side={handle.type} top={handle.y + 5} type="any" name={name} specs={specs} wiring={null} />
          ))
        : shape.rows.map((row) =>
            row.kind === "more" ? (
              <More key="more" name={name} row={row} />
            ) : row.kind === "sockets" ? (
              <div className="row" key={`s${row.y}`} style={{ top: row.y, height: row.height }}>
                {row.input ? (
                  <SocketRow input={row.input} name={name} specs={specs} wiring={wiring} json={json} errors={failed} />
                ) : null}
                {row.output ? (
                  <>
                    <span className="label out">{row.output.label}</span>
                    <Socket id={row.output.id} side="source" top={row.height / 2} type={row.output.type} name={name} specs={specs} wiring={wiring} />
                  </>
                ) : null}
              </div>
            ) : (
              <div
                className={`row widget-row ${at(failed, row.input.name) ? "wrong" : ""} ${data.exposed.has(row.input.name) ? "exposed" : ""}`}
                key={row.input.name}
                style={{ top: row.y, height: row.height }}
                title={row.input.help}
                tabIndex={-1}
                role="group"
                aria-label={row.input.name}
              >
                {row.id ? (
                  <Socket
                    id={row.id}
                    side="target"
                    top={11}
                    type={socketType(row.input)}
                    name={name}
                    specs={specs}
                    wiring={wiring}
                    quiet={typeof json.inputs[row.id] !== "object"}
                  />
                ) : null}
                <Widget
                  node={name}
                  type={json.type}
                  input={row.input}
                  source={json.inputs[row.input.name]}
                  drawn={row.input.widget?.kind === "seed" ? drawnOf(data.path, row.input) : undefined}
                />
              </div>
            ),
          )}
      {shape.picture && !data.collapsed ? <Pictures path={data.path} name={name} paintable={gives(spec, "Image")} area={shape.picture} pictures={pictures} title={title} /> : null}
      {json.mode === "bypass" ? <Passing spec={spec} shape={shape} /> : null}
      {failed.length ? <Complaint problems={failed} top={shape.height} /> : null}
    </article>
  );
});

/** Folds the widgets that few people turn away, and brings them out. */
function More({ name, row }: { name: string; row: MoreRow }) {
  const label = row.open ? t("Show fewer") : plural(row.names.length, "1 more", "{n} more");
  return (
    <div className="row widget-row more" style={{ top: row.y, height: row.height }} tabIndex={-1} role="group" aria-label={label}>
      <button
        type="button"
        className="nodrag"
        aria-expanded={row.open}
        title={row.names.map(labelOf).join(", ")}
        onClick={() => perform(unfold(documentNow(), scopeNow(), name))}
      >
        <Icon name="down" size={12} />
        {label}
      </button>
    </div>
  );
}

const gives = (spec: NodeSpec | undefined, type: string): boolean => !!spec?.outputs.some((output) => output.type === type);

function drawnOf(path: string, input: InputSpec): number | string | undefined {
  return useRun.getState().plan?.drawn?.[`${path}.${input.name}`];
}

const firstLine = (help: string): string => help.split("\n")[0] ?? "";
const at = (problems: Problem[], socket: string): Problem | undefined =>
  problems.find((problem) => (problem.where?.socket ?? "").split("/")[0] === socket.split("/")[0]);

function forecastClass(outlook: Outlook | undefined): string {
  return outlook ? `is-${outlook.forecast}` : "";
}

function figures(state: NodeRun | undefined, outlook: Outlook | undefined, busy: boolean): string {
  if (state?.phase === "running") return state.total > 1 ? `${state.done} / ${state.total}` : "…";
  if (!busy && outlook?.forecast === "run") return outlook.seconds === null ? "" : `≈ ${duration(outlook.seconds)}`;
  if (state?.seconds !== undefined) return duration(state.seconds);
  return "";
}

/** How much memory it will need, or took. */
function memoryWords(state: NodeRun | undefined, outlook: Outlook | undefined, busy: boolean): string | undefined {
  if (!busy && outlook?.forecast === "run") return outlook.memory ? t("about {bytes} of memory in use", { bytes: bytes(outlook.memory) }) : undefined;
  return state?.peak ? t("peak {bytes}", { bytes: bytes(state.peak) }) : undefined;
}

const WORDS: Record<string, Text> = {
  run: "will run",
  cached: "cached: nothing to do",
  maybe: "may run",
  light: "bookkeeping, done while planning",
  failed: "cannot run",
  unused: "not needed: what comes of it is there, or nothing asks for it",
  unknown: "not planned yet",
};

const PHASES: Record<string, Text> = {
  waiting: "waiting",
  running: "running",
  done: "done",
  hit: "cached",
  failed: "failed",
  blocked: "blocked",
  cancelled: "cancelled",
};

/** The state as a shape of its own, so that colour is never the only sign. */
function StateMark({ state, outlook, busy, mode }: { state?: NodeRun; outlook?: Outlook; busy: boolean; mode?: string }) {
  const running = busy && state && state.phase !== "idle";
  // Not needed because what comes of it is there already: it is as good as cached.
  const rests = outlook?.forecast === "unused" && (state?.phase === "done" || state?.phase === "hit");
  const kind = mode ?? (running || rests ? state.phase : (outlook?.forecast ?? "unknown"));
  const forecast = outlook?.forecast ?? "unknown";
  const peak = state?.peak ? `, ${t("peak {bytes}", { bytes: bytes(state.peak) })}` : "";
  const words = mode
    ? mode === "mute"
      ? t("muted")
      : t("bypassed")
    : running
      ? `${t(PHASES[state.phase] ?? "running")}${peak}`
      : `${t(WORDS[forecast] ?? "not planned yet")}${outlook?.why ? `: ${outlook.why}` : ""}${outlook?.resumed ? `; ${t("goes on from step {n}", { n: outlook.resumed })}` : ""}`;
  return <span className={`mark ${kind}`} role="img" aria-label={words} title={words} />;
}

function Progress({ state }: { state?: NodeRun }) {
  if (state?.phase !== "running") return null;
  const share = state.total > 0 ? state.done / state.total : 0;
  return (
    <div
      className={`hairline ${state.total > 0 ? "" : "unsure"}`}
      role="progressbar"
      aria-label={t("progress")}
      aria-valuenow={Math.round(share * 100)}
      style={{ top: 29 }}
    >
      <span style={{ width: `${share * 100}%` }} />
    </div>
  );
}

interface SocketProps {
  id: string;
  side: "source" | "target";
  top: number;
  type: TypeJson;
  name: string;
  specs: Specs;
  wiring: Wiring | null;
  quiet?: boolean;
}

/** May the wire that is being dragged end here? "" while none is. */
function answer({ id, side, type, name, specs, wiring }: SocketProps): { fit: string; why: string } {
  if (!wiring || (wiring.node === name && wiring.handle === id && wiring.type === side)) return { fit: "", why: "" };
  if (wiring.many && side === "source") return fit(type, wiring.carries, specs).fit === "fits" ? { fit: "fits", why: "" } : { fit: "no", why: t("its wires carry {type}", { type: typeText(wiring.carries) }) };
  if (wiring.many) return { fit: "no", why: t("all wires of an output go to another output") };
  if (wiring.type === side) return { fit: "no", why: side === "target" ? t("a wire ends in one input") : t("a wire begins at one output") };
  const [from, to] = side === "target" ? [wiring.node, name] : [name, wiring.node];
  if (wouldCircle(documentNow(), scopeNow(), from, to)) return { fit: "no", why: t("the wires would form a circle") };
  return side === "target" ? fit(wiring.carries, type, specs) : fit(type, wiring.carries, specs);
}

function Socket(props: SocketProps) {
  const { id, side, top, type, specs, quiet, wiring } = props;
  const said = answer(props);
  const words = `${side === "target" ? t("input") : t("output")} ${id.replace("/", " ")}: ${typeText(type)}`;
  return (
    <Handle
      tabIndex={-1}
      role="button"
      aria-label={words}
      id={id}
      type={side}
      position={side === "target" ? Position.Left : Position.Right}
      className={`socket ${said.fit} ${quiet && !wiring ? "quiet" : ""}`}
      style={{ top, "--type": colourOf(type, specs) } as CSSProperties}
      title={said.why || `${id.split("/")[0]}: ${typeText(type)}`}
      data-why={said.why}
    />
  );
}

function SocketRow(props: {
  input: NonNullable<Extract<Shape["rows"][number], { kind: "sockets" }>["input"]>;
  name: string;
  specs: Specs;
  wiring: Wiring | null;
  json: NodeJson;
  errors: Problem[];
}) {
  const { input, name, specs, wiring, errors } = props;
  const wrong = at(errors, input.id);
  return (
    <>
      <Socket id={input.id} side="target" top={11} type={input.type} name={name} specs={specs} wiring={wiring} />
      <span className={`label ${input.optional ? "optional" : ""} ${wrong ? "wrong" : ""}`} title={input.input.help}>
        {input.label}
      </span>
    </>
  );
}

function Pictures(props: { path: string; name: string; paintable: boolean; area: NonNullable<Shape["picture"]>; pictures?: Picture[]; title: string }) {
  const preview = useRun((held) => held.previews[props.path]);
  const { area, pictures } = props;
  const style = { top: area.y, height: area.height } as CSSProperties;
  if (preview) return <img className="picture preview" style={style} src={preview.url} alt={t("{title}: in the making", { title: props.title })} draggable={false} />;
  if (!pictures?.length) return null;
  const open = (index: number) =>
    useUi.getState().set({
      viewing: { at: index, film: true, pictures: pictures.map((picture, i) => ({ blob: picture.blob || undefined, node: props.paintable ? props.name : undefined, url: srcOf(picture), label: `${props.title} ${i + 1}` })) },
    });
  return (
    <div className="picture grid" style={{ ...style, gridTemplateColumns: `repeat(${area.columns}, 1fr)` }}>
      {pictures.map((picture, index) => (
        <span className="cell" key={picture.blob + String(index)}>
          <button type="button" className="thumb nodrag" onClick={() => open(index)} aria-label={t("{title}: open picture {n}", { title: props.title, n: index + 1 })}>
            <img src={srcOf(picture, Math.max(picture.width, picture.height) > 512 ? 512 : undefined)} alt={t("{title}: result {n}", { title: props.title, n: index + 1 })} draggable={false} />
          </button>
          {props.paintable ? <PaintButton node={props.name} title={props.title} url={srcOf(picture)} /> : null}
        </span>
      ))}
    </div>
  );
}

/** What is wrong, in the checker's words, with the next step as a button where it can be pressed. */
function Complaint({ problems, top }: { problems: Problem[]; top: number }) {
  return (
    <div className="complaint nodrag" style={{ top: top + 6 }} role="alert">
      {problems.slice(0, 2).map((problem, index) => (
        <p key={index}>
          {problem.where?.socket ? <b>{problem.where.socket} </b> : null}
          {problem.message}
          {problem.mend ? (
            problem.mend.edits.length ? (
              <button type="button" className="mend" onClick={() => applyMend(problem)}>
                {problem.mend.text}
              </button>
            ) : (
              <em>{problem.mend.text}</em>
            )
          ) : null}
        </p>
      ))}
      {problems.length > 2 ? <p>{t("and {n} more", { n: problems.length - 2 })}</p> : null}
    </div>
  );
}
