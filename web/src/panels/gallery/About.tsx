import { useEffect, useState } from "react";
import { api, blobUrl } from "../../protocol/http";
import type { GalleryPicture, WorkflowJson } from "../../protocol/types";
import { factsOf, textsOf } from "../../run/facts";
import { useUi } from "../../state/ui";
import { IconButton } from "../../ui/basics";
import { Icon } from "../../ui/icons";
import { languageNow, t } from "../../words";
import { openGraph } from "../sheet/results";
import { asInput, download, inpaint, type Made, reuseSeed, sendTo } from "./deeds";

/** The graph that made a result; fetched when it has been asked about for a moment. */
export function useGraph(job: string | undefined, item: number | null | undefined): WorkflowJson | null {
  const of = job ? `${job} ${item ?? ""}` : "";
  const [held, setHeld] = useState<{ of: string; workflow: WorkflowJson } | null>(null);
  useEffect(() => {
    if (!job) return;
    let gone = false;
    const timer = setTimeout(() => {
      api.graph(job, item).then(
        ({ workflow }) => !gone && setHeld({ of, workflow }),
        () => undefined,
      );
    }, 120);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [of, job, item]);
  return held?.of === of ? held.workflow : null;
}

/** What a picture was made with: its texts whole, then the values. */
export function MadeWith({ workflow }: { workflow: WorkflowJson | null }) {
  if (!workflow) return null;
  return (
    <>
      {textsOf(workflow).map((text) => (
        <p key={text.to} className="text" title={text.to}>
          <span>{text.name}</span>
          {String(text.value)}
        </p>
      ))}
      <dl className="values">
        {factsOf(workflow).map((fact) => (
          <div key={fact.to} title={fact.to}>
            <dt>{fact.name}</dt>
            <dd>{String(fact.value)}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

/** The picture that is meant, large, with what made it and what can be done with it. */
export function About({ picture, onView, onDelete }: { picture: GalleryPicture; onView: () => void; onDelete: () => void }) {
  const workflow = useGraph(picture.job, picture.item);
  const made: Made = { url: blobUrl(picture.blob), blob: picture.blob, label: picture.title || picture.prompt, job: picture.job, item: picture.item };
  const leave = () => useUi.getState().set({ gallery: false });
  return (
    <aside className="about" aria-label={t("About the picture")}>
      <button type="button" className="large" onClick={onView} title={t("Look at it (Enter)")}>
        <img src={blobUrl(picture.blob)} alt={picture.prompt || picture.title} className={picture.width < 256 ? "small" : ""} />
      </button>
      <p className="when">
        <span>
          {picture.width} × {picture.height} · {new Date(picture.at * 1000).toLocaleString(languageNow(), { dateStyle: "medium", timeStyle: "short" })}
        </span>
        <IconButton icon="download" label={t("Download (D)")} onClick={() => void download([made])} />
        <IconButton icon="trash" label={t("Delete (Del)")} onClick={onDelete} />
      </p>
      <div className="row-of">
        <button type="button" className="main" onClick={() => void openGraph(picture.job, picture.item).then(leave)} title="O">
          <Icon name="restore" size={14} /> {t("Open its graph")}
        </button>
        <button type="button" onClick={() => void reuseSeed(made)} title="S">
          <Icon name="dice" size={14} /> {t("Reuse this seed")}
        </button>
      </div>
      <div className="row-of">
        <button type="button" onClick={() => void asInput(made).then((node) => node && leave())} title={t("A “Load image” node with this picture, in the open graph")}>
          {t("As an input")}
        </button>
        <button type="button" onClick={() => void sendTo("template:image_to_image", made)}>
          {t("Image to image")}
        </button>
        <button type="button" onClick={() => void inpaint(made)}>
          {t("Inpaint")}
        </button>
      </div>
      <MadeWith workflow={workflow} />
    </aside>
  );
}
