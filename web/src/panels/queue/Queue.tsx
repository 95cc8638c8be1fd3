import { api } from "../../protocol/http";
import { failed, refreshQueue } from "../../state/actions";
import { useRun } from "../../state/run";
import { Empty, IconButton } from "../../ui/basics";
import { t } from "../../words";

export function Queue() {
  const jobs = useRun((state) => state.queue);
  const paused = useRun((state) => state.paused);
  const open = jobs.filter((job) => job.state === "queued" || job.state === "running");
  const then = (work: Promise<unknown>) => void work.then(refreshQueue, failed);
  return (
    <>
      <div className="bar">
        <button type="button" onClick={() => then(api.queue({ paused: !paused }))}>
          {paused ? t("Go on") : t("Pause")}
        </button>
        <button type="button" disabled={!open.length} onClick={() => then(api.queue({ clear: true }))}>
          {t("Clear")}
        </button>
      </div>
      <ul className="rows">
        {open.map((job) => (
          <li key={job.id}>
            <span className="item">
              <b>{job.title || t("untitled")}</b>
              <span>{job.state === "running" ? t("running") : t("waits")}</span>
            </span>
            {job.state === "queued" ? <IconButton icon="up" label={t("To the front")} onClick={() => then(api.move(job.id, 0))} /> : null}
            <IconButton icon="close" label={t("Cancel")} onClick={() => then(api.cancel(job.id))} />
          </li>
        ))}
      </ul>
      {open.length ? null : <Empty>{paused ? t("The queue is paused.") : t("Nothing waits.")}</Empty>}
    </>
  );
}
