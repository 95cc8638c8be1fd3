import "./history.css";
import { useEffect, useMemo, useState } from "react";
import { api, blobUrl } from "../../protocol/http";
import type { Job, Picture, WorkflowJson } from "../../protocol/types";
import { duration } from "../../run/state";
import { failed, showJob } from "../../state/actions";
import { carry } from "../../state/carried";
import { isFavourite, useFavourites } from "../../state/favourites";
import { useRun } from "../../state/run";
import { openSheet } from "../../state/sheets";
import { say, type Seen, useUi } from "../../state/ui";
import { Empty, IconButton } from "../../ui/basics";
import { t } from "../../words";
import { openGraph } from "../sheet/results";

const PAGE = 40;
const GRACE = 8000; // ms in which what was forgotten comes back

export const picturesOf = (job: Job): Picture[] => {
  const outputs = Object.values(job.outputs ?? {}).flat();
  if (outputs.length) return outputs;
  return Object.values(job.pictures ?? {}).flatMap((held) => Object.values(held)[0] ?? []);
};

function ago(seconds: number | undefined): string {
  if (!seconds) return "";
  const past = Date.now() / 1000 - seconds;
  if (past < 60) return t("just now");
  return past < 86_400 ? t("{time} ago", { time: duration(past) }) : new Date(seconds * 1000).toLocaleDateString();
}

/** All that was typed into a workflow, for the search: prompts, names of models, values. */
function wordsOf(job: Job): string {
  const workflow: WorkflowJson | undefined = job.workflow;
  const typed = Object.entries(workflow?.nodes ?? {}).flatMap(([name, node]) => [name, node.type, node.title ?? "", JSON.stringify(node.inputs)]);
  return [job.title ?? "", job.state, ...(job.files ?? []), ...typed].join(" ").toLowerCase();
}

/** Every result with the exact graph that made it: search, favourites, two of them side by side. */
export function History() {
  const [jobs, setJobs] = useState<Job[] | null>(null);
  const [more, setMore] = useState(false);
  const [query, setQuery] = useState("");
  const [starred, setStarred] = useState(false);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [against, setAgainst] = useState<Seen | null>(null);
  const favourites = useFavourites((state) => state.blobs);
  const finished = useRun((state) => (state.run.state === "running" ? null : state.run.job));
  useEffect(() => {
    void api.history(undefined, PAGE).then((found) => {
      setJobs(found.jobs);
      setMore(found.jobs.length === PAGE);
    }, failed);
  }, [finished]);
  const older = () =>
    void api.history(jobs?.at(-1)?.finished, PAGE).then((found) => {
      setJobs((held) => [...(held ?? []), ...found.jobs]);
      setMore(found.jobs.length === PAGE);
    }, failed);

  const words = useMemo(() => new Map((jobs ?? []).map((job) => [job.id, wordsOf(job)])), [jobs]);
  const asked = query.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = (jobs ?? []).filter((job) => {
    if (hidden.has(job.id)) return false;
    if (starred && !picturesOf(job).some((picture) => isFavourite(favourites, picture.blob))) return false;
    return asked.every((word) => words.get(job.id)?.includes(word));
  });
  // What the viewer goes through: every picture that is listed, so that the arrows lead from job to job.
  const all: Seen[] = shown.flatMap((job) =>
    picturesOf(job).map((picture, index) => ({
      url: blobUrl(picture.blob),
      blob: picture.blob,
      label: `${job.title || t("untitled")}${picturesOf(job).length > 1 ? ` ${index + 1}` : ""}`,
      job: job.id,
      item: job.counts ? index : undefined,
    })),
  );
  const view = (job: Job, index: number) => {
    const at = all.findIndex((seen) => seen.job === job.id) + index;
    if (against) {
      useUi.getState().set({ viewing: { pictures: [...all, against], at, against: all.length } });
      setAgainst(null);
    } else useUi.getState().set({ viewing: { pictures: all, at } });
  };
  const restore = async (job: Job) => {
    await openGraph(job.id);
    showJob(job);
  };
  /** Gone from the list now, from the server when nobody has asked for it back. */
  const forget = (job: Job) => {
    setHidden((held) => new Set([...held, job.id]));
    const timer = setTimeout(() => void api.forget(job.id).catch(failed), GRACE);
    const undo = () => {
      clearTimeout(timer);
      setHidden((held) => new Set([...held].filter((id) => id !== job.id)));
    };
    say(t("“{name}” is forgotten.", { name: job.title || t("untitled") }), { label: t("undo"), run: undo }, GRACE - 500);
  };
  return (
    <>
      <div className="search">
        <input type="search" aria-label={t("Search the history")} placeholder={t("a prompt, a model, a value…")} value={query} onChange={(event) => setQuery(event.target.value)} />
        <IconButton icon="star" label={t("Favourites only")} pressed={starred} onClick={() => setStarred(!starred)} />
        <IconButton icon="expand" label={t("The gallery: all pictures, large (G)")} onClick={() => useUi.getState().set({ gallery: true, sheet: null, panel: null })} />
      </div>
      {against ? (
        <p className="note">
          {t("Choose the picture to compare with.")} <button onClick={() => setAgainst(null)}>{t("never mind")}</button>
        </p>
      ) : null}
      {shown.map((job) => (
        <Result
          key={job.id}
          job={job}
          favourites={favourites}
          onView={(index) => view(job, index)}
          onRestore={() => void restore(job)}
          onCompare={(picture) => setAgainst({ url: blobUrl(picture.blob), blob: picture.blob, label: job.title ?? "", job: job.id, item: job.counts ? 0 : undefined })}
          onForget={() => forget(job)}
        />
      ))}
      {more ? (
        <button type="button" className="wide" onClick={older}>
          {t("older")}
        </button>
      ) : null}
      {jobs && !shown.length ? (
        <Empty>
          {jobs.length
            ? starred
              ? t("No favourite among these: open a picture and press F.")
              : t("Nothing here has these words.")
            : t("Nothing has run yet. Press Ctrl+Enter, and every result is kept here with its graph.")}
        </Empty>
      ) : null}
    </>
  );
}

function Result(props: {
  job: Job;
  favourites: string[];
  onView: (index: number) => void;
  onRestore: () => void;
  onCompare: (picture: Picture) => void;
  onForget: () => void;
}) {
  const { job, favourites } = props;
  const pictures = picturesOf(job);
  const [first] = pictures;
  const many = !!job.counts;
  return (
    <article className="result">
      <div className={`gallery ${pictures.length > 1 ? "several" : ""}`}>
        {pictures.slice(0, many ? 6 : 24).map((picture, index) => (
          <button
            type="button"
            key={picture.blob + String(index)}
            draggable
            onDragStart={(event) => carry(event, { kind: "picture", blob: picture.blob, job: job.id, item: many ? index : undefined, label: job.title ?? "" })}
            onClick={() => props.onView(index)} aria-label={t("Open picture {n} of {title}", { n: index + 1, title: job.title ?? t("the job") })}>
            <img src={blobUrl(picture.blob, 256)} alt="" loading="lazy" draggable={false} />
            {isFavourite(favourites, picture.blob) ? <span className="star">★</span> : null}
          </button>
        ))}
      </div>
      <footer>
        <span className={job.state} title={job.title}>
          {job.title || t("untitled")} · {job.state === "succeeded" ? ago(job.finished) : job.state}
        </span>
        {many ? <IconButton icon="grid" label={t("Open the sheet")} onClick={() => void openSheet(job.id).catch(failed)} /> : null}
        <IconButton icon="restore" label={t("Open the graph that made it")} onClick={props.onRestore} />
        {first ? <IconButton icon="compare" label={t("Compare with another")} onClick={() => props.onCompare(first)} /> : null}
        <IconButton icon="trash" label={t("Forget it")} onClick={props.onForget} />
      </footer>
    </article>
  );
}
