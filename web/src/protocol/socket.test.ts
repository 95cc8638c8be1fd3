import { expect, test } from "vitest";
import { type Listener, readFrame, Socket, type World } from "./socket";

class Line {
  binaryType = "";
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((message: { data: unknown }) => void) | null = null;
  close() {
    this.onclose?.();
  }
  says(...events: object[]) {
    for (const event of events) this.onmessage?.({ data: JSON.stringify(event) });
  }
}

function world() {
  const lines: { url: string; line: Line }[] = [];
  const waits: number[] = [];
  let next: () => void = () => undefined;
  const made: World = {
    open: (url) => {
      const line = new Line();
      lines.push({ url, line });
      return line as unknown as WebSocket;
    },
    later: (run, ms) => {
      waits.push(ms);
      next = run;
    },
    random: () => 0.5,
  };
  return { made, lines, waits, wake: () => next(), line: () => lines[lines.length - 1] as (typeof lines)[number] };
}

function listener() {
  const heard: string[] = [];
  const made: Listener = {
    event: (event) => void heard.push(`${event.event} ${"seq" in event ? event.seq : "-"}`),
    preview: (preview) => void heard.push(`preview ${preview.path}`),
    snapshot: (epoch) => void heard.push(`snapshot ${epoch}`),
    connected: (yes) => void heard.push(yes ? "on" : "off"),
  };
  return { heard, made };
}

test("a broken line resumes after the last event it has seen, and no event comes twice", () => {
  const { made, line, wake } = world();
  const ear = listener();
  new Socket("/ws", ear.made, made).start("e1", 4);
  line().line.says({ event: "hello", epoch: "e1", seq: 5, mode: "resumed" }, { event: "job_queued", seq: 5 });
  line().line.says({ event: "step_progress" }, { event: "job_started", seq: 6 });
  line().line.close();
  wake();
  expect(line().url).toBe("/ws?epoch=e1&since=6");
  line().line.says({ event: "hello", epoch: "e1", seq: 7, mode: "resumed" }, { event: "job_started", seq: 6 });
  line().line.says({ event: "job_finished", seq: 7 });
  expect(ear.heard).toEqual(["on", "job_queued 5", "step_progress -", "job_started 6", "off", "on", "job_finished 7"]);
});

test("a new server makes the client fetch the state again", () => {
  const { made, line } = world();
  const ear = listener();
  new Socket("/ws", ear.made, made).start("e1", 40);
  line().line.says({ event: "hello", epoch: "e2", seq: 3, mode: "snapshot" }, { event: "job_queued", seq: 4 });
  expect(ear.heard).toEqual(["on", "snapshot e2", "job_queued 4"]);
});

test("waits double from 0.3 s to 10 s and begin anew once the line stands", () => {
  const { made, line, waits, wake } = world();
  new Socket("/ws", listener().made, made).start("e1", 0);
  for (let i = 0; i < 7; i++) {
    line().line.close();
    wake();
  }
  expect(waits).toEqual([300, 600, 1200, 2400, 4800, 9600, 10_000]);
  line().line.onopen?.();
  line().line.close();
  expect(waits[7]).toBe(300);
});

test("a binary frame is a preview; one of another version or too short is left alone", async () => {
  const header = new TextEncoder().encode(JSON.stringify({ job: "j", path: "sample", done: 3, total: 20, mime: "image/webp" }));
  const frame = new Uint8Array([1, 1, 0, header.length, ...header, 9, 8, 7]);
  const preview = readFrame(frame.buffer);
  expect(preview).toMatchObject({ job: "j", path: "sample", done: 3, total: 20 });
  expect(preview?.picture.type).toBe("image/webp");
  expect(new Uint8Array((await preview?.picture.arrayBuffer()) ?? new ArrayBuffer())).toEqual(new Uint8Array([9, 8, 7]));
  expect(readFrame(new Uint8Array([2, 1, 0, 0]).buffer)).toBeNull();
  expect(readFrame(new Uint8Array([1]).buffer)).toBeNull();
});
