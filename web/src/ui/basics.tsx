import { type ReactNode, useLayoutEffect, useRef } from "react";
import { Icon, type IconName } from "./icons";

export function IconButton(props: {
  icon: IconName;
  label: string;
  onClick: () => void;
  pressed?: boolean;
  disabled?: boolean;
  badge?: number;
  className?: string;
}) {
  return (
    <button
      type="button"
      className={`icon-button ${props.className ?? ""}`}
      aria-label={props.label}
      title={props.label}
      aria-pressed={props.pressed}
      disabled={props.disabled}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
      {props.badge ? <span className="badge">{props.badge}</span> : null}
    </button>
  );
}

/** A dialog over the page: Escape or a press beside it closes, focus goes in and comes back. */
export function Dialog(props: { label: string; className?: string; onClose: () => void; children: ReactNode }) {
  const box = useRef<HTMLDialogElement>(null);
  // At once with the page's change: what closes it may set the focus elsewhere, and that is to stand.
  useLayoutEffect(() => {
    const dialog = box.current;
    const before = document.activeElement;
    dialog?.showModal();
    // The browser would take the first thing that can have the focus, a list's own frame, say.
    dialog?.querySelector<HTMLElement>("[cmdk-input], [data-first]")?.focus();
    return () => {
      dialog?.close();
      const lost = document.activeElement === document.body || dialog?.contains(document.activeElement);
      if (lost && before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, []);
  return (
    <dialog
      ref={box}
      aria-label={props.label}
      className={`dialog ${props.className ?? ""}`}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onPointerDown={(event) => {
        if (event.target === box.current) props.onClose();
      }}
    >
      {props.children}
    </dialog>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}
