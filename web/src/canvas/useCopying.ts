import { type MouseEvent, type RefObject, useEffect, useRef } from "react";
import { copy, paste } from "../document/operations";
import { canvas } from "../state/canvas";
import { documentNow, perform, scopeNow, useDocument } from "../state/document";
import { useUi } from "../state/ui";
import { frameId, noteId } from "./deck";
import { DROP, takeAlong } from "./useCards";

const FAR = 4;
const own = (start: string) => useUi.getState().selected.filter((id) => id.startsWith(start)).map((id) => id.slice(start.length));

/** What is selected again in the same place, with its wires; the name of the copy of `of`. */
function twin(of: string): string | null {
  const ids = useUi.getState().selected.filter((id) => !id.includes("|"));
  if (!ids.includes(of)) useUi.getState().set({ selected: [of] });
  const names = useUi.getState().selected.filter((id) => !id.startsWith("#") && !id.includes("|"));
  const boxes = canvas().boxes(useUi.getState().selected);
  const spots = Object.fromEntries(names.flatMap((name) => (boxes[name] ? [[name, { x: boxes[name].x, y: boxes[name].y }]] : [])));
  const clip = copy(documentNow(), scopeNow(), names, spots, { frames: own("#frame/"), notes: own("#note/") });
  const corners = Object.values(boxes);
  if (!corners.length) return null;
  const at = { x: Math.min(...corners.map((box) => box.x)), y: Math.min(...corners.map((box) => box.y)) };
  const made = paste(documentNow(), scopeNow(), clip, at, true);
  useDocument.getState().settle();
  perform({ ...made, label: "duplicate", merge: DROP });
  const all = [...made.names, ...made.frames.map(frameId), ...made.notes.map(noteId)];
  takeAlong();
  useUi.getState().set({ selected: all });
  const before = [...names, ...own("#frame/").map(frameId), ...own("#note/").map(noteId)];
  return all[before.indexOf(of)] ?? all[0] ?? null;
}

/** Alt and a drag leave a node where it is and take a copy along. */
export function useCopying(box: RefObject<HTMLElement | null>) {
  const listening = useRef<AbortController | null>(null);
  useEffect(() => () => listening.current?.abort(), []);
  return (event: MouseEvent): boolean => {
    const target = event.target as HTMLElement;
    const node = target.closest<HTMLElement>(".react-flow__node");
    if (!node || !event.altKey || event.button !== 0 || target.closest(".nodrag, .socket, input, textarea, select")) return false;
    event.stopPropagation();
    event.preventDefault();
    const id = node.dataset.id ?? "";
    const start = { x: event.clientX, y: event.clientY };
    listening.current?.abort();
    const { signal } = (listening.current = new AbortController());
    const end = () => listening.current?.abort();
    window.addEventListener("mouseup", end, { signal });
    window.addEventListener(
      "mousemove",
      (moved) => {
        if (Math.hypot(moved.clientX - start.x, moved.clientY - start.y) < FAR) return;
        end();
        const made = twin(id);
        if (!made) return;
        let tries = 0;
        // The copy is dragged from where the button went down, as soon as it is on the page.
        const take = () => {
          const card = box.current?.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(made)}"]`);
          const handle = card?.querySelector(".frame-head") ?? card?.firstElementChild;
          if (handle) handle.dispatchEvent(new window.MouseEvent("mousedown", { bubbles: true, cancelable: true, view: window, clientX: start.x, clientY: start.y }));
          else if (tries++ < 30) requestAnimationFrame(take);
        };
        requestAnimationFrame(take);
      },
      { signal },
    );
    return true;
  };
}
