import type { Preview, WireEvent, Wish } from "./types";

/** What the socket needs of the world; a test hands in its own. */
export interface World {
  open(url: string): WebSocket;
  later(run: () => void, ms: number): void;
  random(): number;
}

export interface Listener {
  event(event: WireEvent): void;
  preview(preview: Preview): void;
  /** The server is new or the ring has moved on: fetch the state again. */
  snapshot(epoch: string, seq: number): void;
  connected(yes: boolean): void;
}

const FIRST_WAIT = 300;
const LONGEST_WAIT = 10_000;

/** One socket that comes back: resumes after the last seq it has seen, with waits of 0.3 s growing to 10 s. */
export class Socket {
  private epoch = "";
  private seq = 0;
  private wait = FIRST_WAIT;
  private socket: WebSocket | null = null;
  private closed = false;
  private previews = true;

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
    private readonly world: World = {
      open: (address) => new WebSocket(address),
      later: (run, ms) => void setTimeout(run, ms),
      random: Math.random,
    },
  ) {}

  /** Begin after `seq` of `epoch`, as /api/state told. */
  start(epoch: string, seq: number): void {
    this.epoch = epoch;
    this.seq = seq;
    this.connect();
  }

  close(): void {
    this.closed = true;
    this.socket?.close();
  }

  /** Whether pictures of work in progress are wanted: for whom they are not, none are made. */
  wish(previews: boolean): void {
    if (previews === this.previews) return;
    this.previews = previews;
    if (this.socket?.readyState === WebSocket.OPEN) this.say();
  }

  private say(): void {
    this.socket?.send(JSON.stringify({ previews: this.previews } satisfies Wish));
  }

  private connect(): void {
    if (this.closed) return;
    const socket = this.world.open(`${this.url}?epoch=${encodeURIComponent(this.epoch)}&since=${this.seq}`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.wait = FIRST_WAIT;
      if (!this.previews) this.say();
    };
    socket.onmessage = (message: MessageEvent<string | ArrayBuffer>) => this.take(message.data);
    socket.onclose = () => {
      this.listener.connected(false);
      const ms = this.wait * (0.5 + this.world.random());
      this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
      this.world.later(() => this.connect(), ms);
    };
  }

  private take(data: string | ArrayBuffer): void {
    if (typeof data !== "string") {
      const preview = readFrame(data);
      if (preview) this.listener.preview(preview);
      return;
    }
    const event = JSON.parse(data) as WireEvent;
    if (event.event === "hello") {
      const { epoch, seq } = event;
      const fresh = event.mode === "snapshot" || epoch !== this.epoch;
      this.epoch = epoch;
      if (fresh) this.seq = seq;
      this.listener.connected(true);
      if (fresh) this.listener.snapshot(epoch, seq);
      return;
    }
    if ("seq" in event) {
      if (event.seq <= this.seq) return; // seen before the line broke
      this.seq = event.seq;
    }
    this.listener.event(event);
  }
}

/** `u8 version | u8 kind | u16 BE header length | JSON header | image bytes`; null for a frame we do not know. */
export function readFrame(data: ArrayBuffer): Preview | null {
  if (data.byteLength < 4) return null;
  const view = new DataView(data);
  if (view.getUint8(0) !== 1 || view.getUint8(1) !== 1) return null;
  const length = view.getUint16(2);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))) as {
    job: string;
    path: string;
    done: number;
    total: number;
    mime?: string;
  };
  const picture = new Blob([data.slice(4 + length)], { type: header.mime ?? "image/jpeg" });
  return { job: header.job, path: header.path, done: header.done, total: header.total, picture };
}
