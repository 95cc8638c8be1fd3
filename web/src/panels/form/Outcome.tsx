import { useEffect, useState } from "react";
import { parseEnd } from "../../document/wires";
import { api, blobUrl } from "../../protocol/http";
import type { GalleryPicture } from "../../protocol/types";
import { documentOf, useDocument } from "../../state/document";
import { useRun } from "../../state/run";
import { type Seen, useUi } from "../../state/ui";
import { t } from "../../words";

const STRIP = 24;

/** What the workflow gives: the picture as it grows, then the result, and what was made before as a strip to go back to. */
export function Outcome() {
  const document = useDocument(documentOf);
  const pictures = useRun((state) => state.run.pictures);
  const job = useRun((state) => (state.run.state === "running" ? undefined : state.run.job));
  const preview = useRun((state) => (state.run.state === "running" ? Object.values(state.previews).at(-1) : undefined));
  const page = useUi((state) => state.page);
  const [before, setBefore] = useState<GalleryPicture[]>([]);
  useEffect(() => {
    if (!page || job === undefined) return;
    api.gallery({ limit: STRIP }).then(
      (found) => setBefore(found.pictures.slice(0, STRIP)),
      () => undefined,
    );
  }, [page, job]);
  const results = Object.values(document.outputs ?? {}).flatMap((from) => pictures[parseEnd(from).node] ?? []);
  const shown: Seen[] = results.map((picture, index) => ({ url: blobUrl(picture.blob), blob: picture.blob, label: t("result {n}", { n: index + 1 }) }));
  const strip: Seen[] = before.map((picture) => ({ url: blobUrl(picture.blob), blob: picture.blob, label: picture.prompt || picture.title, job: picture.job, item: picture.item }));
  const view = (list: Seen[], at: number) => useUi.getState().set({ viewing: { pictures: list, at } });
  return (
    <div className="outcome">
      {preview ? (
        <div className="results growing">
          <img src={preview.url} alt={t("in the making")} />
        </div>
      ) : shown.length ? (
        <div className="results">
          {shown.map((picture, at) => (
            <button type="button" key={picture.url} aria-label={t("Open {name}", { name: picture.label })} onClick={() => view(shown, at)}>
              <img src={picture.url} alt={picture.label} />
            </button>
          ))}
        </div>
      ) : page ? (
        <p className="results none">{t("Press Run: the picture grows here.")}</p>
      ) : null}
      {strip.length ? (
        <div className="strip" role="group" aria-label={t("Made before")}>
          {strip.map((picture, at) => (
            <button type="button" key={`${picture.job} ${picture.item ?? ""} ${picture.blob}`} aria-label={t("Open {name}", { name: picture.label })} onClick={() => view(strip, at)}>
              <img src={blobUrl(picture.blob ?? "", 128)} alt="" loading="lazy" />
            </button>
          ))}
        </div>
      ) : null}
    </div>
  );
}
