import { useEffect } from "react";
import { progress } from "../panels/RunBar";
import { documentOf, useDocument } from "../state/document";
import { useRun } from "../state/run";
import { t } from "../words";

const SIZE = 32;
const COLOURS = { running: "#5b8cff", succeeded: "#35b26a", failed: "#e5484d" };

/** A ring that fills while a job runs; a full disc of its outcome when it ended where nobody looked. */
function draw(share: number | null, end: "succeeded" | "failed" | null): string | null {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE;
  const pen = canvas.getContext("2d");
  if (!pen) return null;
  const middle = SIZE / 2;
  if (share !== null) {
    pen.lineWidth = 7;
    pen.strokeStyle = "#8b93a066";
    pen.beginPath();
    pen.arc(middle, middle, middle - 5, 0, 2 * Math.PI);
    pen.stroke();
    pen.strokeStyle = COLOURS.running;
    pen.beginPath();
    pen.arc(middle, middle, middle - 5, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * Math.max(0.03, share));
    pen.stroke();
  } else if (end) {
    pen.fillStyle = COLOURS[end];
    pen.beginPath();
    pen.arc(middle, middle, middle - 3, 0, 2 * Math.PI);
    pen.fill();
  }
  return canvas.toDataURL("image/png");
}

let plain: string | null = null;
function setIcon(url: string | null): void {
  const link = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  if (!link) return;
  plain ??= link.href;
  const wanted = url ?? plain;
  if (link.href !== wanted) link.href = wanted;
}

/** The browser's own tab says how far the run is, and how it ended while nobody looked. */
export function useTitle(): void {
  const title = useDocument((state) => documentOf(state).title);
  const state = useRun((held) => held.run.state);
  const percent = useRun((held) => (held.run.state === "running" ? Math.round(progress(held.run) * 100) : -1));
  useEffect(() => {
    const running = percent >= 0;
    const unseen = document.hidden && (state === "succeeded" || state === "failed" || state === "partial");
    const end = unseen ? (state === "succeeded" ? "succeeded" : "failed") : null;
    const before = running ? `${percent}% · ` : end === "succeeded" ? `✓ ${t("done")} · ` : end ? `✗ ${t("failed")} · ` : "";
    document.title = `${before}${title || "Weft"}`;
    setIcon(running || end ? draw(running ? percent / 100 : null, end) : null);
    if (!end) return;
    const look = () => {
      if (document.hidden) return;
      document.title = title || "Weft";
      setIcon(null);
    };
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [title, state, percent]);
}
