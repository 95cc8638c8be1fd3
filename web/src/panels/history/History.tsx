import "./history.css";
import { useEffect, useMemo, useState } from "react";
import { api, blobUrl } from "../../protocol/http";
import type { Item, Job, Picture, WorkflowJson } from "../../protocol/types";
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
const NO_JOBS: Job[] = [];
const GRACE = 8000; // ms in which what was forgotten comes back

/** A picture, and which of its job's items made it. */
type Made = Picture & { item?: number };

/** What a job made. With its items at hand each picture has its maker's number: not its place, for an item may have made none. */
function picturesOf(job: Job, items?: Item[]): Made[] {
  if (items) return items.flatMap((item) => knownBy(item).map((picture) => ({ ...picture, item: item.index })));
  const outputs = Object.values(job.outputs ?? {}).flat();
  if (outputs.length) return outputs;
  return Object.values(job.pictures ?? {}).flatMap((held) => Object.values(held)[0] ?? []);
}

function knownBy(item: Item): Picture[] {
  const made = item.outputs.filter((output) => output.kind === "image");
  const named = made.filter((output) => output.name);
  return named.length ? named : made.slice(0, 1);
}

/** The items of those jobs that have some; a list of jobs comes without them. */
function useItems(jobs: Job[]): ReadonlyMap<string, Item[]> {
  const [held, setHeld] = useState<ReadonlyMap<string, Item[]>>(new Map());
  useEffect(() => {
    let gone = false;
    void (async () => {
      for (const { id, counts } of jobs) {
        if (gone) return;
        if (!counts) continue;
        const items = await api.job(id).then((job) => job.items, () => null); // forgotten meanwhile
        if (items && !gone) setHeld((now) => new Map(now).set(id, items));
      }
    })();
    return () => {
      gone = true;
    };
  }, [jobs]);
  return held;
}

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
  const items = useItems(jobs ?? NO_JOBS);
  const asked = query.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = (jobs ?? []).filter((job) => {
    if (hidden.has(job.id)) return false;
    if (starred && !picturesOf(job).some((picture) => isFavourite(favourites, picture.blob))) return false;
    return asked.every((word) => words.get(job.id)?.includes(word));
  });
  // What the viewer goes through: every picture that is listed, so that the arrows lead from job to job.
  const all: Seen[] = shown.flatMap((job) =>
    picturesOf(job, items.get(job.id)).map((picture, index, { length }) => ({
      url: blobUrl(picture.blob),
      blob: picture.blob,
      label: `${job.title || t("untitled")}${length > 1 ? ` ${(picture.item ?? index) + 1}` : ""}`,
      job: job.id,
      item: picture.item,
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
          pictures={picturesOf(job, items.get(job.id))}
          favourites={favourites}
          onView={(index) => view(job, index)}
          onRestore={() => void restore(job)}
          onCompare={(picture) => setAgainst({ url: blobUrl(picture.blob), blob: picture.blob, label: job.title ?? "", job: job.id, item: picture.item })}
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
  pictures: Made[];
  favourites: string[];
  onView: (index: number) => void;
  onRestore: () => void;
  onCompare: (picture: Made) => void;
  onForget: () => void;
}) {
  const { job, pictures, favourites } = props;
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
            onDragStart={(event) => carry(event, { kind: "picture", blob: picture.blob, job: job.id, item: picture.item, label: job.title ?? "" })}
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
