import { type FocusEvent, type KeyboardEvent, type RefObject, useCallback, useEffect } from "react";
import { disconnect } from "../document/operations";
import { wiresInto, wiresOf } from "../document/wires";
import { canvas } from "../state/canvas";
import { documentNow, graphNow, perform, scopeNow } from "../state/document";
import { useUi } from "../state/ui";
import { controlOf } from "../widgets/control";
import { type Box, clear } from "./arrange";
import { type AnyNode, boxOf } from "./deck";

type Way = "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown";
const WAYS: Record<Way, { x: number; y: number }> = {
  ArrowLeft: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
  ArrowUp: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
};
const isWay = (key: string): key is Way => key in WAYS;

/** The nearest box that lies that way; what lies aside counts twice. Null at the edge of the graph. */
export function neighbour(from: Box, boxes: [string, Box][], way: { x: number; y: number }): string | null {
  let best: [string, number] | null = null;
  for (const [name, box] of boxes) {
    const dx = box.x + box.width / 2 - (from.x + from.width / 2);
    const dy = box.y + box.height / 2 - (from.y + from.height / 2);
    const ahead = dx * way.x + dy * way.y;
    const aside = Math.abs(dx * way.y) + Math.abs(dy * way.x);
    if (ahead <= 4 || aside > 4 * ahead) continue;
    const far = ahead + 2 * aside;
    if (!best || far < best[1]) best = [name, far];
  }
  return best?.[0] ?? null;
}

const wrapper = (element: Element): HTMLElement | null => element.closest<HTMLElement>(".react-flow__node");

/** Sockets and widgets of a node, in rows from top to bottom, each row from left to right. */
function rowsOf(node: HTMLElement): HTMLElement[][] {
  const items = [...node.querySelectorAll<HTMLElement>(".socket, .widget-row")].map((element) => ({ element, box: element.getBoundingClientRect() }));
  const rows: { y: number; items: typeof items }[] = [];
  // A tall text's row begins at its top, where its socket is.
  const height = (item: (typeof items)[number]) => item.box.y + Math.min(item.box.height, 22) / 2;
  for (const item of items.sort((a, b) => height(a) - height(b))) {
    const row = rows[rows.length - 1];
    if (row && Math.abs(row.y - height(item)) < 6) row.items.push(item);
    else rows.push({ y: height(item), items: [item] });
  }
  return rows.map((row) => row.items.sort((a, b) => a.box.x - b.box.x || a.box.width - b.box.width).map((item) => item.element));
}

/** The socket at the other end of a wire that begins or ends here. */
function follow(socket: HTMLElement): { node: string; handle: string } | null {
  const node = socket.dataset.nodeid ?? "";
  const handle = socket.dataset.handleid ?? "";
  const json = graphNow().nodes[node];
  if (!json) return null;
  if (socket.classList.contains("target")) {
    const wire = wiresInto(node, json).find((item) => item.slot === handle);
    return wire ? { node: wire.from.node, handle: wire.from.output } : null;
  }
  for (const wire of wiresOf(graphNow())) if (wire.from.node === node && (wire.from.output || handle) === handle) return { node: wire.node, handle: wire.slot };
  return null;
}

/** Wires that end in this socket, or begin at it. */
function wiresAt(socket: HTMLElement): { node: string; slot: string }[] {
  const node = socket.dataset.nodeid ?? "";
  const handle = socket.dataset.handleid ?? "";
  const json = graphNow().nodes[node];
  if (!json) return [];
  if (socket.classList.contains("target")) return wiresInto(node, json).filter((wire) => wire.slot === handle);
  return [...wiresOf(graphNow())].filter((wire) => wire.from.node === node && (wire.from.output || handle) === handle);
}

/** The graph without a mouse: arrows go from node to node, Enter goes in, Enter on a socket begins a wire. */
export function useCanvasKeys(box: RefObject<HTMLElement | null>, drawn: RefObject<AnyNode[]>) {
  const focusNode = useCallback(
    (id: string, socket?: string, more = false) => {
      const held = useUi.getState().selected;
      useUi.getState().set({ selected: more ? [...new Set([...held, id])] : [id] });
      canvas().reveal(id);
      let tries = 0;
      const settle = () => {
        const node = box.current?.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(id)}"]`);
        const inner = socket === undefined ? node : node?.querySelector<HTMLElement>(`.socket[data-handleid="${CSS.escape(socket)}"]`);
        if (inner) inner.focus({ preventScroll: true });
        else if (tries++ < 60) {
          canvas().reveal(id); // a node that was made just now is on no screen yet
          requestAnimationFrame(settle);
        }
      };
      settle();
    },
    [box],
  );

  const go = useCallback(
    (from: HTMLElement | null, way: Way, more: boolean) => {
      const boxes = drawn.current.filter((node) => node.type !== "frame").map((node): [string, Box] => [node.id, boxOf(node)]);
      const id = from?.dataset.id ?? useUi.getState().selected.find((name) => boxes.some(([held]) => held === name));
      const here = boxes.find(([name]) => name === id);
      if (!here) {
        const first = boxes.sort(([, a], [, b]) => a.x + a.y - b.x - b.y)[0];
        if (first) focusNode(first[0]);
        return;
      }
      const next = neighbour(
        here[1],
        boxes.filter(([name]) => name !== id),
        WAYS[way],
      );
      if (next) focusNode(next, undefined, more);
    },
    [drawn, focusNode],
  );

  const inNode = useCallback(
    (item: HTMLElement, key: string): boolean => {
      const node = wrapper(item);
      if (!node) return false;
      const rows = rowsOf(node);
      const at = rows.findIndex((row) => row.includes(item));
      const row = rows[at] ?? [];
      const socket = item.classList.contains("socket");
      const side = socket ? (item.classList.contains("source") ? 2 : 0) : 1;
      const step = (by: number) => {
        const next = rows[at + by];
        if (!next) return;
        // The same column where the next row has one.
        const same = next.find((element) => (element.classList.contains("source") ? 2 : element.classList.contains("socket") ? 0 : 1) === side);
        (same ?? next[0])?.focus({ preventScroll: true });
      };
      if (key === "ArrowDown") step(1);
      else if (key === "ArrowUp") step(-1);
      else if (key === "ArrowRight" || key === "ArrowLeft") {
        const beside = row[row.indexOf(item) + (key === "ArrowRight" ? 1 : -1)];
        const other = socket && side === (key === "ArrowRight" ? 2 : 0) ? follow(item) : null;
        if (beside) beside.focus({ preventScroll: true });
        else if (other) focusNode(other.node, other.handle);
      } else if (key === "Enter" || key === " ") {
        if (socket) useUi.getState().set({ linking: { node: item.dataset.nodeid ?? "", slot: item.dataset.handleid ?? "", side: side === 2 ? "source" : "target" } });
        else controlOf(item)?.focus({ preventScroll: true });
      } else if ((key === "Delete" || key === "Backspace") && socket) {
        const ends = wiresAt(item);
        if (ends.length) perform(disconnect(documentNow(), scopeNow(), ends));
      } else if (key === "Escape") node.focus({ preventScroll: true });
      else return false;
      return true;
    },
    [focusNode],
  );

  const onKey = useCallback(
    (event: { key: string; altKey: boolean; ctrlKey: boolean; metaKey: boolean; shiftKey: boolean }, target: HTMLElement): boolean => {
      const { key } = event;
      if (event.ctrlKey || event.metaKey) return false;
      const field = /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.getAttribute("role") === "switch";
      if (field) {
        if (key !== "Escape" && (key !== "Enter" || target.tagName === "TEXTAREA")) return false;
        const row = target.closest<HTMLElement>(".widget-row");
        // The field has these keys first (a number is taken, or taken back); then its row has the focus again.
        const back = () => {
          if (key === "Escape" || document.activeElement === document.body) row?.focus({ preventScroll: true });
        };
        if (row) requestAnimationFrame(back);
        return !!row && key === "Escape";
      }
      const item = target.closest<HTMLElement>(".socket, .widget-row");
      if (item && target === item && !event.altKey) return inNode(item, key);
      const node = target.classList.contains("react-flow__node") ? target : null;
      if (!node && target !== box.current && target !== document.body) return false;
      if (isWay(key) && event.altKey) {
        const by = event.shiftKey ? 40 : 8;
        const chosen = Object.entries(canvas().boxes(useUi.getState().selected));
        canvas().put(Object.fromEntries(chosen.map(([id, spot]) => [id, { x: spot.x + WAYS[key].x * by, y: spot.y + WAYS[key].y * by }])));
        return chosen.length > 0;
      }
      if (isWay(key)) {
        go(node, key, event.shiftKey);
        return true;
      }
      if (!node) return false;
      if (key === "Enter") {
        const id = node.dataset.id ?? "";
        if (id.startsWith("#")) useUi.getState().set({ writing: id });
        else rowsOf(node)[0]?.[0]?.focus({ preventScroll: true });
        return true;
      }
      if (key === " ") {
        const held = drawn.current.find((other) => other.id === node.dataset.id);
        if (!held) return false;
        const box = boxOf(held);
        const others = drawn.current.filter((other) => other.type !== "frame").map(boxOf);
        const spot = clear({ x: box.x + box.width + 64, y: box.y, width: box.width, height: 160 }, others);
        useUi.getState().set({ palette: { at: { x: spot.x, y: spot.y + 20 } } });
        return true;
      }
      return false;
    },
    [box, drawn, go, inNode],
  );

  // With the focus nowhere, the arrows begin at the graph.
  useEffect(() => {
    const onWindow = (event: globalThis.KeyboardEvent) => {
      if (event.target !== document.body || event.defaultPrevented || document.querySelector("dialog[open]")) return;
      if (isWay(event.key) && onKey(event, document.body)) event.preventDefault();
    };
    window.addEventListener("keydown", onWindow);
    return () => window.removeEventListener("keydown", onWindow);
  }, [onKey]);

  return {
    focusNode,
    onKeyDown: (event: KeyboardEvent) => {
      if (event.defaultPrevented || !onKey(event, event.target as HTMLElement)) return;
      event.preventDefault();
      event.stopPropagation();
    },
    /** What the Tab key comes to is chosen, as what is pressed is, so that commands act on it. */
    onFocus: (event: FocusEvent) => {
      const target = event.target as HTMLElement;
      if (!target.classList.contains("react-flow__node") || !target.matches(":focus-visible")) return;
      const id = target.dataset.id ?? "";
      if (useUi.getState().selected.includes(id)) return;
      useUi.getState().set({ selected: [id] });
      canvas().reveal(id);
    },
  };
}
