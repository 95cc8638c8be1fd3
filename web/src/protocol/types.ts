/** The wire between server and editor, as types. They are the server's own (generated.ts), by the editor's names. */

import type { components } from "./generated";
import type { Json, JsonObject } from "./json";

export type { Json, JsonObject };

type Shapes = components["schemas"];
/** A request: what has a default may be left out. */
type Asked<T, Needed extends keyof T> = Partial<T> & Pick<T, Needed>;

// ------------------------------------------------------------------------------------------------------------- nodes

/** A socket's type: a string (`"Image"`, `"Mask?"`) or an object where a string cannot say it. */
export type TypeJson = Shapes["Type"] | string;
/** With bounds that can be compared; the server sends one that a number cannot hold as text. */
export type Widget = Omit<Shapes["Widget"], "low" | "high"> & { low?: number; high?: number };
export type InputSpec = Omit<Shapes["Input"], "variants" | "widget"> & {
  widget?: Widget;
  variants?: { name: string; inputs: InputSpec[] }[];
  /** Of a map: a list goes item by item, anything else is the same for all. Set by the editor alone. */
  over?: boolean;
};
export type OutputSpec = Shapes["Slot"];
/** A node's declaration. Of a graph of the file, and of a node that is not installed, the editor makes one itself. */
export type NodeSpec = Omit<Shapes["NodeSpec"], "inputs" | "path"> & { inputs: InputSpec[]; path?: string };
export type TypeSpec = Shapes["TypeSpec"];
export type Fit = Shapes["Nodes"]["connect"][string][string];
export type InputAsSent = Omit<Shapes["Input"], "variants"> & { variants?: { name: string; inputs: InputAsSent[] }[] };
/** What of the listing the editor reads: where a node's code lies is nothing to it. */
export type Catalogue = Omit<Shapes["Nodes"], "nodes"> & { nodes: (Omit<Shapes["NodeSpec"], "path" | "inputs"> & { inputs: InputAsSent[] })[] };

// ---------------------------------------------------------------------------------------------------------- problems

/** One document edit of a mend; see engine/workflow/edits.py. */
export type MendEdit = Shapes["Edit"];
export type Problem = Shapes["Problem"];

// ---------------------------------------------------------------------------------------------------------- the file

/** A wire's end or a literal, as the file has it. */
export type Source = Json;
/** As the file has it, but that the server has written `inputs` and `to` out by the time a file is open. */
export type NodeJson = Omit<Shapes["WorkflowNode"], "inputs"> & { inputs: { [name: string]: Source } };
export type ParameterJson = Omit<Shapes["WorkflowParameter"], "to"> & {
  to: string[];
  // What follows is for forms alone; the engine keeps it as it keeps whatever else there is.
  about?: string;
  group?: string;
  order?: number;
  range?: number[];
  choices?: Json[];
};

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
  weft: Shapes["Workflow"]["weft"];
  title?: string;
  about?: string;
  graphs?: { [name: string]: GraphJson };
  requires?: JsonObject;
  view?: ViewJson;
}

// -------------------------------------------------------------------------------------------------------------- plan

export type PlanStep = Shapes["PlanStep"];
export type Plan = Shapes["Planned"];
export type Forecast = Shapes["Forecast"];

// -------------------------------------------------------------------------------------------------------------- jobs

export type JobState = Shapes["Job"]["state"];
/** A picture of a result; one with a `url` and no `blob` is a file of the input folder. */
export type Picture = Omit<Shapes["Blob"], "mime"> & { mime?: string; url?: string };
/** A picture that an item made, and where. */
export type ItemOutput = Shapes["Output"];
export type Item = Shapes["Item"];
export type SweepJson = Shapes["Sweep"];
export type BatchJson = Shapes["Batch"];
/** What makes a job one with items. */
export type ItemsRequest = Pick<Partial<Shapes["JobRequest"]>, "set" | "batch" | "sweep" | "rows" | "stop" | "together" | "front">;
export type JobRequest = Asked<Shapes["JobRequest"], "workflow">;
export type TrailPoint = Shapes["TrailPoint"];
export type TokenCount = Shapes["TokenCount"];
/** A picture that was made, and by what; see GET /api/gallery. */
export type GalleryPicture = Shapes["GalleryPicture"];
export type Change = Shapes["Change"];
export type ResultRef = Omit<Shapes["ResultRef"], "workflow"> & { workflow?: WorkflowJson };
export type Job = Omit<Shapes["Job"], "workflow"> & { workflow?: WorkflowJson };

// ------------------------------------------------------------------------------------------------------------ server

export type ServerState = Omit<Shapes["State"], "queue"> & { queue: { paused: boolean; jobs: Job[] } };
export type SavedWorkflow = Omit<Shapes["SavedWorkflow"], "workflow"> & { workflow: WorkflowJson };
export type WorkflowRow = Shapes["WorkflowRow"];
export type ModelRow = Shapes["ModelRow"];
/** What a model's file says of itself. */
export type ModelNotes = Shapes["ModelNotes"];
/** A model that a workflow names; `mend` is how to get it when it is not there. */
export type Need = Shapes["Need"];
export type DeviceMemory = Shapes["DeviceMemory"];
export type MemoryShape = Shapes["Memory"];
export type FreeRequest = Partial<Shapes["FreeRequest"]>;
export type Folder = Shapes["Folder"];
export type TabRow = Shapes["Tab"];

// ------------------------------------------------------------------------------------------------------------ events

/** A message of the socket: durable (with `seq`) or volatile. */
export type WireEvent = Shapes["Event"];
export type EventOf<Name extends WireEvent["event"]> = Extract<WireEvent, { event: Name }>;

/** What the editor may say on the socket. */
export type Wish = Shapes["Wish"];
export type Preview = Omit<Shapes["PreviewHeader"], "mime"> & { picture: Blob };
