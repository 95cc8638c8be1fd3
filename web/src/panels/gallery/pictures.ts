import { useCallback, useEffect, useRef, useState } from "react";
import { api } from "../../protocol/http";
import type { GalleryPicture } from "../../protocol/types";
import { failed } from "../../state/actions";
import { useRun } from "../../state/run";
import { say } from "../../state/ui";
import { plural, t } from "../../words";

export const keyOf = (picture: GalleryPicture): string => `${picture.job} ${picture.item ?? ""} ${picture.blob}`;
export const resultOf = (picture: GalleryPicture): string => `${picture.job} ${picture.item ?? ""}`;

interface Held {
  of: string;
  pictures: GalleryPicture[];
  next: number | null;
  done: boolean;
}

const NOTHING: Held = { of: "", pictures: [], next: null, done: false };
const REST = 180; // ms after the last letter
const GRACE = 8000; // ms in which what was deleted comes back

/** Pictures as they are asked for, more of them as one goes down; those that were deleted are gone at once. */
export function usePictures(search: string, favourites: boolean) {
  const of = `${favourites} ${search.trim()}`;
  const [held, setHeld] = useState<Held>(NOTHING);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const busy = useRef(false);
  const finished = useRun((state) => (state.run.state === "running" ? null : state.run.job));

  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(
      () => {
        api.gallery({ search: search.trim(), favourites }, stop.signal).then(
          (found) => setHeld({ of, pictures: found.pictures, next: found.next ?? null, done: true }),
          (error: unknown) => !stop.signal.aborted && failed(error),
        );
      },
      search ? REST : 0,
    );
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [of, search, favourites, finished]);

  const more = useCallback(() => {
    if (!held.next || busy.current) return;
    busy.current = true;
    api.gallery({ search: search.trim(), favourites, before: held.next }).then(
      (found) => {
        busy.current = false;
        setHeld((now) => (now.of === held.of ? { ...now, pictures: [...now.pictures, ...found.pictures], next: found.next ?? null } : now));
      },
      (error: unknown) => {
        busy.current = false;
        failed(error);
      },
    );
  }, [held, search, favourites]);

  /** Gone from the page now, from the server when nobody has asked for them back. */
  const remove = useCallback((chosen: GalleryPicture[]) => {
    const results = [...new Map(chosen.map((picture) => [resultOf(picture), picture])).values()];
    const names = results.map(resultOf);
    setHidden((now) => new Set([...now, ...names]));
    let back = false;
    setTimeout(() => {
      if (back) return;
      void (async () => {
        for (const picture of results) await api.forgetPicture(picture.job, picture.item);
      })().catch(failed);
    }, GRACE);
    say(plural(results.length, "1 picture deleted.", "{n} pictures deleted."), {
      label: t("undo"),
      run: () => {
        back = true;
        setHidden((now) => new Set([...now].filter((name) => !names.includes(name))));
      },
    }, GRACE - 500);
  }, []);

  const pictures = hidden.size ? held.pictures.filter((picture) => !hidden.has(resultOf(picture))) : held.pictures;
  return { pictures, loading: !held.done || held.of !== of, more, end: held.done && !held.next, remove };
}
