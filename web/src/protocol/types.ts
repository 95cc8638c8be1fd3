/** The wire between server and editor, as types. The shapes are those of `engine`'s own `to_json` functions. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** A socket's type: a string (`"Image"`, `"Mask?"`) or an object where a string cannot say it. */
export type TypeJson =
  | string
  | { name: string; args?: TypeJson[]; optional?: boolean; choices?: (string | number)[]; variable?: boolean };

export interface Widget {
  kind?: string; // seed | text | prompt | model | file | choices, or a pack's own
  low?: number;
  high?: number;
  step?: number;
  soft?: [number, number];
  models?: string;
  place?: string;
}

export interface InputSpec {
  name: string;
  type: TypeJson;
  default?: Json;
  gather?: "list" | "named";
  widget?: Widget;
  wired?: boolean; // false: no socket
  typed?: boolean; // false: no widget
  help?: string;
  /** Of a map: a list goes item by item, anything else is the same for all. Set by the editor alone. */
  over?: boolean;
  variants?: { name: string; inputs: InputSpec[] }[];
}

export interface OutputSpec {
  name: string;
  type: TypeJson;
  help?: string;
}

export interface NodeSpec {
  id: string;
  title: string;
  help: string;
  version?: number;
  category?: string;
  aliases?: string[];
  deprecated?: string;
  light?: boolean;
  effect?: boolean;
  bypass?: [string, string][];
  /** Widgets that few people turn. */
  advanced?: string[];
  pack?: string;
  flow?: boolean;
  inputs: InputSpec[];
  outputs: OutputSpec[];
}

export interface TypeSpec {
  name: string;
  about?: string;
  colour?: string;
  bases?: string[];
}

export type Fit = "fits" | "no" | "unknown";

export interface Catalogue {
  nodes: NodeSpec[];
  types: TypeSpec[];
  packs: { name: string; version?: string; title?: string; problem?: Problem | string | null }[];
  connect: Record<string, Record<string, Fit>>;
}

/** One document edit of a mend; see engine/errors.py. */
export interface MendEdit {
  set?: string;
  value?: Json;
  wire?: string;
  from?: string;
  unset?: string;
  remove?: string;
  insert?: { type: string; between: [string, string]; input?: string; output?: string };
  put?: {
    type: string;
    /** The socket that the new node stands before: it takes what the socket had as `input`, and gives it `output`. */
    before?: string;
    input?: string;
    output?: string;
    /** The socket whose source it stands behind: who read the outputs named in `passes` reads the new node's. */
    behind?: string;
    passes?: string[];
    inputs?: { [name: string]: Json };
    with?: { type: string; into: string; output: string; inputs?: { [name: string]: Json } };
  };
}

export interface Problem {
  code: string;
  message: string;
  severity?: "error" | "lint";
  where?: { file?: string; line?: number; column?: number; path?: string; socket?: string };
  mend?: { text: string; edits: MendEdit[] } | null;
  report?: string;
}

/** A wire's end or a literal, as the file has it. */
export type Source = Json;

export interface NodeJson {
  type: string;
  version?: number;
  title?: string;
  mode?: "mute" | "bypass";
  body?: string;
  inputs: { [name: string]: Source };
}

export interface ParameterJson {
  to: string[];
  label?: string;
  default?: Json;
  required?: boolean;
  group?: string;
  order?: number;
  range?: number[];
  choices?: Json[];
}

/** One concept: a graph is {nodes, parameters, outputs}. */
export interface GraphJson {
  nodes: { [name: string]: NodeJson };
  parameters?: { [name: string]: ParameterJson };
  outputs?: { [name: string]: string };
}

export interface Spot {
  x: number;
  y: number;
}

export interface Frame extends Spot {
  w: number;
  h: number;
  title: string;
  hue?: number;
}

/** A remark on the canvas, in markdown. */
export interface Note extends Spot {
  w: number;
  h: number;
  text: string;
  hue?: number;
}

/** Layout only; nothing in it changes what runs. Keys are names, inside a sub-graph after `#graph/`. */
export interface ViewJson {
  nodes?: { [path: string]: Spot };
  frames?: { [id: string]: Frame };
  notes?: { [id: string]: Note };
  collapsed?: { [path: string]: true };
  /** Nodes that show their advanced widgets, too. */
  open?: { [path: string]: true };
  /** Wires (`node|slot`) drawn as two short named ends. */
  stubs?: { [wire: string]: true };
  /** Nodes whose colour is not their chapter's. */
  hues?: { [path: string]: number };
  /** Views to come back to, by the digit that was pressed: the middle of the screen, in which graph. */
  marks?: { [digit: string]: { scope: string; x: number; y: number; zoom: number } };
}

export interface WorkflowJson extends GraphJson {
  weft: 1;
  title?: string;
  about?: string;
  graphs?: { [name: string]: GraphJson };
  requires?: JsonObject;
  view?: ViewJson;
}

export interface PlanStep {
  path: string;
  node: string;
  status: string; // hit | saved | run | maybe | light | failed | blocked | not needed
  why?: string;
  seconds?: number;
  steps?: number;
  resumed?: number;
  waits_for?: string[];
  problem?: Problem;
  /** Bytes in use at most while it runs, as far as was ever measured. */
  memory?: number | null;
  /** What its outputs were seen as before, and would be seen as again. */
  pictures?: Record<string, Picture[]>;
}

export interface Plan {
  steps: PlanStep[];
  /** Of what will certainly run; absent when a step was never measured. */
  seconds?: number | null;
  /** Bytes in use at most, of the steps that were ever measured. */
  memory?: number | null;
  problems: Problem[];
  lints: Problem[];
  drawn?: Record<string, number | string>;
}

export type JobState = "queued" | "running" | "partial" | "succeeded" | "failed" | "cancelled" | "interrupted";

export interface Picture {
  blob: string;
  /** Of a picture that is no result: a file of the input folder. */
  url?: string;
  width: number;
  height: number;
}

/** A picture that an item made, and where. */
export interface ItemOutput extends Picture {
  node: string;
  output: string;
  url: string;
  kind: string;
  name?: string | null;
}

/** One of a job's items: what it has of its own, and what it made. */
export interface Item {
  index: number;
  set: JsonObject;
  label: string;
  state: JobState;
  outputs: ItemOutput[];
  fraction: number;
  values?: JsonObject | null;
  files?: string[] | null;
  started?: number | null;
  finished?: number | null;
  error?: Problem | null;
  problems?: Problem[] | null;
}

/** Up to three axes, the last running fastest. */
export interface SweepJson {
  axes: { to: string[]; values: Json[]; label?: string | null }[];
}

export interface BatchJson {
  count: number;
  seed: string | string[];
  policy: "increment" | "random" | "fixed";
}

/** What makes a job one with items. */
export interface ItemsRequest {
  set?: JsonObject;
  batch?: BatchJson;
  sweep?: SweepJson;
  rows?: JsonObject[];
  stop?: Record<string, number>;
  /** So many items may share a forward. */
  together?: number;
  front?: boolean;
}

/** What items would cost: their steps, and how many of those have to be run, what is shared counted once. */
export interface Forecast {
  items: number;
  looked: number;
  steps: number;
  todo: number;
  nodes: number;
  run: number;
  seconds?: number | null;
  problems: Problem[];
  sharing?: { forwards: number; apart: number; rows: number; alone: { node: string; why: string; items: number }[] } | null;
}

/** A value that was tried with all else equal, and what it gave. */
export interface TrailPoint extends Picture {
  value: Json;
  job: string;
  url: string;
  at: number;
  item?: number | null;
}

/** A picture that was made, and by what; see GET /api/gallery. */
export interface GalleryPicture extends Picture {
  job: string;
  item?: number | null;
  title: string;
  prompt: string;
  label: string;
  node: string;
  at: number;
  /** Stopped early: one of many seeds that were looked at. */
  draft: boolean;
}

export interface Change {
  what: string;
  before: Json;
  after: Json;
}

export interface Job {
  counts?: Record<string, number>;
  items?: Item[];
  sweep?: SweepJson | null;
  stop?: Record<string, number> | null;
  of?: string | null;
  id: string;
  state: JobState;
  title?: string;
  position?: number;
  created?: number;
  started?: number;
  finished?: number;
  problems?: Problem[];
  outputs?: Record<string, Picture[]>;
  pictures?: Record<string, Record<string, Picture[]>>;
  files?: string[];
  drawn?: Record<string, number | string>;
  fraction?: number;
  workflow?: WorkflowJson;
}

export interface ServerState {
  version: string;
  epoch: string;
  seq: number;
  numerics: { device: string; dtype: string; threads?: number };
  queue: { paused: boolean; jobs: Job[] };
  settings: JsonObject;
}

export interface SavedWorkflow {
  name: string;
  workflow: WorkflowJson;
  modified: number;
  versions: string[];
}

export interface ModelRow {
  name: string;
  bytes: number;
  family?: string;
  what?: string;
  fits?: string;
  precision?: string;
  problem?: string;
  picture?: string | null;
}

export interface DeviceMemory {
  device: string;
  total: number;
  free: number;
  limit: number;
  used: number;
  residents: { kind: string; name: string; bytes: number; in_use: boolean }[];
}

/** A model that a workflow names; `mend` is how to get it when it is not there. */
export interface Need {
  kind: string;
  name: string;
  node: string;
  there: boolean;
  mend?: string;
}

/** What a model's file says of itself. */
export interface ModelNotes {
  kind: string;
  name: string;
  title: string;
  author: string;
  about: string;
  licence: string;
  base: string;
  words: string[];
}

export interface WorkflowRow {
  name: string;
  title?: string;
  about?: string;
  origin: "yours" | "template";
  thumbnail?: string | null;
  modified?: number | string | null;
  needs?: Need[];
}

/** An event of the diary, durable (with seq) or volatile. */
export interface WireEvent {
  event: string;
  job?: string;
  seq?: number;
  path?: string;
  [field: string]: unknown;
}

export interface Preview {
  job: string;
  path: string;
  done: number;
  total: number;
  picture: Blob;
}
