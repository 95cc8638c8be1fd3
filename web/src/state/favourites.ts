import { create } from "zustand";
import { api } from "../protocol/http";
import type { Json } from "../protocol/types";
import { complain } from "./ui";
import { t } from "../words";

/** Pictures that were starred: kept with the server's settings, so that every browser has them. */
export const useFavourites = create<{ blobs: string[] }>(() => ({ blobs: [] }));

const NAME = "favourites";
const MOST = 5000;

export const isFavourite = (blobs: string[], blob: string): boolean => blobs.includes(blob);

export function takeFavourites(settings: { [name: string]: Json }): void {
  const held = settings[NAME];
  if (Array.isArray(held)) useFavourites.setState({ blobs: held.filter((item): item is string => typeof item === "string") });
}

export function toggleFavourite(blob: string): void {
  const { blobs } = useFavourites.getState();
  const next = blobs.includes(blob) ? blobs.filter((item) => item !== blob) : [...blobs, blob].slice(-MOST);
  useFavourites.setState({ blobs: next });
  api.setSettings({ [NAME]: next }).catch(() => {
    useFavourites.setState({ blobs });
    complain(t("the favourite could not be kept: the server does not answer"));
  });
}
