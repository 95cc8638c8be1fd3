import type {
  Catalogue,
  Change,
  Folder,
  Forecast,
  FreeRequest,
  GalleryPicture,
  ItemsRequest,
  Job,
  JsonObject,
  MemoryShape,
  ModelNotes,
  ModelRow,
  Picture,
  Plan,
  Problem,
  ResultRef,
  SavedWorkflow,
  ServerState,
  TabRow,
  TokenCount,
  TrailPoint,
  WorkflowJson,
  WorkflowRow,
} from "./types";

/** What the server answered instead of a result: its problems, in the checker's words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problems: Problem[],
  ) {
    super(problems[0]?.message ?? `the server answered ${status}`);
  }
}

async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal, more: Record<string, string> = {}): Promise<T> {
  const form = body instanceof FormData;
  const response = await fetch(path, {
    method,
    credentials: "same-origin",
    headers: body === undefined || form ? more : { "Content-Type": "application/json", ...more },
    body: body === undefined ? undefined : form ? body : JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw new ApiError(response.status, await problemsOf(response));
  return (response.status === 204 ? undefined : await response.json()) as T;
}

async function problemsOf(response: Response): Promise<Problem[]> {
  try {
    const record = (await response.json()) as { error?: Problem; problems?: Problem[] };
    if (record.problems?.length) return record.problems;
    if (record.error) return [record.error];
  } catch {
    // not JSON: a proxy in between, or a server that is gone
  }
  return [{ code: "http", message: `the server answered ${response.status} ${response.statusText}`, severity: "error", where: {} }];
}

const path = encodeURIComponent;
const upload = (file: Blob, name: string, more: Record<string, string> = {}): FormData => {
  const form = new FormData();
  for (const [key, value] of Object.entries(more)) form.set(key, value);
  form.set("file", file, name);
  return form;
};

export interface RunOptions extends ItemsRequest {
  targets?: string[];
  again?: boolean;
  title?: string;
}

/** Every call the editor makes; `docs/server.md` describes the same paths for curl. */
export const api = {
  setSettings: (settings: JsonObject) => call<unknown>("PUT", "/api/settings", { settings }),
  state: () => call<ServerState>("GET", "/api/state"),
  nodes: () => call<Catalogue>("GET", "/api/nodes"),
  choices: (node: string, input: string) =>
    call<{ choices: string[] }>("GET", `/api/choices?node=${path(node)}&input=${path(input)}`),
  words: (node: string, input: string) =>
    call<{ names: Record<string, string[]>; words: string[] }>("GET", `/api/words?node=${path(node)}&input=${path(input)}`),
  tokens: (workflow: WorkflowJson, to: string, signal?: AbortSignal) =>
    call<{ counts: TokenCount[] }>("POST", "/api/tokens", { workflow, to }, signal),
  plan: (workflow: WorkflowJson, targets?: string[], signal?: AbortSignal) =>
    call<Plan>("POST", "/api/plan", { workflow, ...(targets ? { targets } : {}) }, signal),
  submit: (workflow: WorkflowJson, options: RunOptions = {}) => call<Job>("POST", "/api/jobs", { workflow, ...options }),
  jobs: () => call<{ jobs: Job[] }>("GET", "/api/jobs"),
  job: (id: string) => call<Job>("GET", `/api/jobs/${path(id)}`),
  cancel: (id: string) => call<Job>("POST", `/api/jobs/${path(id)}/cancel`, {}),
  cancelItems: (id: string, items: number[]) => call<Job>("POST", `/api/jobs/${path(id)}/cancel`, { items }),
  retry: (id: string, items?: number[]) => call<Job>("POST", `/api/jobs/${path(id)}/retry`, items ? { items } : {}),
  finish: (id: string, items: number[], set: JsonObject = {}) => call<Job>("POST", `/api/jobs/${path(id)}/finish`, { items, set }),
  graph: (id: string, item?: number | null) =>
    call<{ workflow: WorkflowJson }>("GET", `/api/jobs/${path(id)}/graph${item === undefined || item === null ? "" : `?item=${item}`}`),
  diff: (a: ResultRef, b: ResultRef) => call<{ changes: Change[] }>("POST", "/api/diff", { a, b }),
  trail: (workflow: WorkflowJson, to: string, signal?: AbortSignal) =>
    call<{ points: TrailPoint[] }>("POST", "/api/trail", { workflow, to }, signal),
  forecast: (workflow: WorkflowJson, items: ItemsRequest, signal?: AbortSignal) =>
    call<Forecast>("POST", "/api/forecast", { workflow, ...items }, signal),
  move: (id: string, position: number) => call<unknown>("POST", `/api/jobs/${path(id)}/move`, { position }),
  queue: (change: { paused?: boolean; clear?: true }) => call<unknown>("POST", "/api/queue", change),
  history: (before?: number, limit = 60) =>
    call<{ jobs: Job[] }>("GET", `/api/history?limit=${limit}${before ? `&before=${before}` : ""}`),
  gallery: (ask: { search?: string; favourites?: boolean; before?: number | null; limit?: number }, signal?: AbortSignal) => {
    const query = new URLSearchParams({ limit: String(ask.limit ?? 120) });
    if (ask.search) query.set("search", ask.search);
    if (ask.favourites) query.set("favourites", "1");
    if (ask.before) query.set("before", String(ask.before));
    return call<{ pictures: GalleryPicture[]; next?: number | null }>("GET", `/api/gallery?${query}`, undefined, signal);
  },
  forgetPicture: (job: string, item?: number | null) =>
    call<unknown>("DELETE", `/api/gallery/${path(job)}${item === undefined || item === null ? "" : `?item=${item}`}`),
  forget: (id: string) => call<unknown>("DELETE", `/api/history/${path(id)}`),
  upload: (file: Blob, name: string, place = "input") =>
    call<{ name: string; width: number; height: number }>("POST", "/api/uploads", upload(file, name, { place })),
  open: (file: Blob, name: string) => call<{ workflow: WorkflowJson; told?: string[] | null }>("POST", "/api/open", upload(file, name)),
  workflows: () => call<WorkflowRow[]>("GET", "/api/workflows"),
  workflow: (name: string) => call<SavedWorkflow>("GET", `/api/workflows/${name.split("/").map(path).join("/")}`),
  save: (name: string, workflow: WorkflowJson) =>
    call<SavedWorkflow>("PUT", `/api/workflows/${name.split("/").map(path).join("/")}`, { workflow }),
  remove: (name: string) => call<unknown>("DELETE", `/api/workflows/${name.split("/").map(path).join("/")}`),
  model: (kind: string, name: string) => call<ModelNotes>("GET", `/api/models/${path(kind)}/${name.split("/").map(path).join("/")}`),
  tabs: () => call<{ tabs: TabRow[] }>("GET", "/api/tabs"),
  tab: (name: string) => call<TabRow>("GET", `/api/tabs/${path(name)}`),
  /** Keep a tab as the version after `version` (0: a new one); 412 when another browser was quicker. */
  putTab: (name: string, body: JsonObject, version: number) =>
    call<TabRow>("PUT", `/api/tabs/${path(name)}`, { body }, undefined, { "If-Match": `"${version}"` }),
  closeTab: (name: string) => call<unknown>("DELETE", `/api/tabs/${path(name)}`),
  models: () => call<Record<string, ModelRow[]>>("GET", "/api/models"),
  memory: () => call<MemoryShape>("GET", "/api/memory"),
  free: (what: FreeRequest) => call<{ bytes: number }>("POST", "/api/memory/free", what),
  folders: () => call<Folder[]>("GET", "/api/folders"),
};

export const blobUrl = (blob: string, size?: number): string =>
  `/api/blobs/${path(blob)}${size ? `?size=${size}` : ""}`;
/** Where a picture is shown from, small or whole. */
export const srcOf = (picture: Picture, size?: number): string =>
  picture.url && !picture.blob ? `${picture.url}${size ? `?size=${size}` : ""}` : blobUrl(picture.blob, size);
export const fileUrl = (place: string, name: string): string =>
  `/api/files/${path(place)}/${name.split("/").map(path).join("/")}`;
