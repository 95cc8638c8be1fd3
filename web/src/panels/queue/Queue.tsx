import { useState } from "react";
import { api, blobUrl } from "../../protocol/http";
import type { Job } from "../../protocol/types";
import { failed, refreshQueue } from "../../state/actions";
import { useRun } from "../../state/run";
import { Empty, IconButton } from "../../ui/basics";
import { t } from "../../words";

const then = (work: Promise<unknown>) => void work.then(refreshQueue, failed);

/** What runs and what waits: in any order, by drag or by keys. */
export function Queue() {
  const jobs = useRun((state) => state.queue);
  const paused = useRun((state) => state.paused);
  const [dragged, setDragged] = useState<string | null>(null);
  const [over, setOver] = useState<number | null>(null);
  const running = jobs.filter((job) => job.state === "running");
  const waiting = jobs.filter((job) => job.state === "queued");
  const move = (job: Job, place: number) => {
    if (place >= 0 && place < waiting.length) then(api.move(job.id, place));
  };
  const onKeyDown = (event: React.KeyboardEvent, job: Job, place: number) => {
    const to = { ArrowUp: place - 1, ArrowDown: place + 1, Home: 0, End: waiting.length - 1 }[event.key];
    if (to !== undefined && event.altKey) move(job, to);
    else if (event.key === "Delete") then(api.cancel(job.id));
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <>
      <div className="bar">
        <button type="button" onClick={() => then(api.queue({ paused: !paused }))}>
          {paused ? t("Go on") : t("Pause")}
        </button>
        <button type="button" disabled={!waiting.length} onClick={() => then(api.queue({ clear: true }))}>
          {t("Cancel what waits")}
        </button>
      </div>
      {paused ? <p className="note">{t("The queue is paused: what runs goes on to its end, nothing new begins.")}</p> : null}
      <ul className="rows queue" aria-label={t("Queue")}>
        {running.map((job) => (
          <li key={job.id} className="runs">
            <Card job={job} says={job.fraction ? `${Math.round(job.fraction * 100)} %` : t("running")} />
            <IconButton icon="close" label={t("Cancel {name}", { name: nameOf(job) })} onClick={() => then(api.cancel(job.id))} />
          </li>
        ))}
        {waiting.map((job, place) => (
          <li
            key={job.id}
            className={`${over === place && dragged !== job.id ? "over" : ""} ${dragged === job.id ? "dragged" : ""}`}
            draggable
            onDragStart={(event) => {
              event.dataTransfer.setData("text/plain", job.id);
              event.dataTransfer.effectAllowed = "move";
              setDragged(job.id);
            }}
            onDragOver={(event) => {
              if (!dragged) return;
              event.preventDefault();
              setOver(place);
            }}
            onDrop={(event) => {
              event.preventDefault();
              const held = waiting.find((one) => one.id === dragged);
              if (held && held.id !== job.id) move(held, place);
            }}
            onDragEnd={() => {
              setDragged(null);
              setOver(null);
            }}
            onKeyDown={(event) => onKeyDown(event, job, place)}
          >
            <Card job={job} says={t("place {n}", { n: place + 1 })} />
            <IconButton icon="up" label={t("{name}: earlier (Alt+↑)", { name: nameOf(job) })} disabled={place === 0} onClick={() => move(job, place - 1)} />
            <IconButton icon="down" label={t("{name}: later (Alt+↓)", { name: nameOf(job) })} disabled={place === waiting.length - 1} onClick={() => move(job, place + 1)} />
            <IconButton icon="close" label={t("Cancel {name}", { name: nameOf(job) })} onClick={() => then(api.cancel(job.id))} />
          </li>
        ))}
      </ul>
      {running.length + waiting.length ? null : <Empty>{t("Nothing waits.")}</Empty>}
      {waiting.length > 1 ? <p className="note">{t("Drag a job to its place; Alt+Home puts it in front of all.")}</p> : null}
    </>
  );
}

const nameOf = (job: Job): string => job.title || t("untitled");

/** The last picture that a job has shown. */
function shown(job: Job): string | null {
  const outputs = Object.values(job.pictures).at(-1) ?? {};
  const [, pictures] = Object.entries(outputs).find(([name]) => name !== "mask") ?? Object.entries(outputs)[0] ?? [];
  const last = pictures?.at(-1);
  return last ? blobUrl(last.blob, 64) : null;
}

function Card({ job, says }: { job: Job; says: string }) {
  const picture = shown(job);
  const total = Object.values(job.counts ?? {}).reduce((sum, count) => sum + count, 0);
  return (
    <span className="item">
      {picture ? <img src={picture} alt="" /> : null}
      <b>{nameOf(job)}</b>
      <span>{[says, total > 1 ? t("{n} items", { n: total }) : ""].filter(Boolean).join(" · ")}</span>
      {job.state === "running" ? <progress max={1} value={job.fraction} aria-label={t("progress")} /> : null}
    </span>
  );
}
