import { type KeyboardEvent, useEffect, useLayoutEffect, useRef } from "react";

export type MenuEntry = { label: string; keys?: string; run: () => void; disabled?: boolean } | null;

/** A menu at a place on the screen. Arrows, letters, Home and End move in it; Escape or a press beside it closes it. */
export function Menu(props: { label: string; at: { x: number; y: number }; rows: MenuEntry[]; onClose: () => void }) {
  const box = useRef<HTMLDivElement>(null);
  const { at, rows, onClose, label } = props;
  useLayoutEffect(() => {
    const menu = box.current;
    if (!menu) return;
    const { width, height } = menu.getBoundingClientRect();
    menu.style.left = `${Math.max(4, Math.min(at.x, window.innerWidth - width - 4))}px`;
    menu.style.top = `${Math.max(4, Math.min(at.y, window.innerHeight - height - 4))}px`;
  }, [at]);
  useEffect(() => {
    const before = document.activeElement;
    box.current?.querySelector<HTMLElement>("[role=menuitem]:not(:disabled)")?.focus();
    const away = (event: Event) => {
      if (!box.current?.contains(event.target as globalThis.Node)) onClose();
    };
    window.addEventListener("pointerdown", away, true);
    window.addEventListener("blur", onClose);
    return () => {
      window.removeEventListener("pointerdown", away, true);
      window.removeEventListener("blur", onClose);
      const lost = document.activeElement === document.body || document.activeElement === null;
      if (lost && before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, [onClose]);
  const onKeyDown = (event: KeyboardEvent) => {
    const items = [...(box.current?.querySelectorAll<HTMLElement>("[role=menuitem]:not(:disabled)") ?? [])];
    const here = items.indexOf(document.activeElement as HTMLElement);
    const to = (index: number) => items[(index + items.length) % items.length]?.focus();
    if (event.key === "ArrowDown") to(here + 1);
    else if (event.key === "ArrowUp") to(here - 1);
    else if (event.key === "Home") to(0);
    else if (event.key === "End") to(-1);
    else if (event.key === "Escape" || event.key === "Tab") onClose();
    else if (event.key.length === 1 && /\p{L}/u.test(event.key) && !event.ctrlKey) {
      const begins = (item: HTMLElement) => item.textContent.toLowerCase().startsWith(event.key.toLowerCase());
      [...items.slice(here + 1), ...items.slice(0, here + 1)].find(begins)?.focus();
    } else if (event.key !== "Enter" && event.key !== " ") return;
    event.stopPropagation();
    if (event.key !== "Enter" && event.key !== " ") event.preventDefault();
  };
  return (
    <div ref={box} className="menu" role="menu" aria-label={label} style={{ left: at.x, top: at.y }} onKeyDown={onKeyDown} onContextMenu={(event) => event.preventDefault()}>
      {rows.map((row, index) =>
        row ? (
          <button
            key={row.label}
            type="button"
            role="menuitem"
            tabIndex={-1}
            disabled={row.disabled}
            onClick={() => {
              onClose();
              row.run();
            }}
          >
            <span>{row.label}</span>
            {row.keys ? <kbd>{row.keys}</kbd> : null}
          </button>
        ) : (
          <hr key={index} />
        ),
      )}
    </div>
  );
}
