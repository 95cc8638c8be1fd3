import { useRef, useState } from "react";
import { retitle } from "../document/operations";
import { perform, scopeNow } from "../state/document";
import { useUi } from "../state/ui";
import { t } from "../words";

const done = () => {
  useUi.getState().set({ writing: null });
};

/** A node's title as it is being written on the card: Enter takes it, Escape leaves it as it was, nothing gives the type's own. */
export function NodeTitle({ name, title, standard }: { name: string; title: string; standard: string }) {
  const [text, setText] = useState(title);
  const left = useRef(false);
  const commit = () => {
    if (left.current) return;
    left.current = true;
    const wanted = text.trim();
    if (wanted !== title) perform(retitle(scopeNow(), name, wanted === standard ? "" : wanted));
    done();
  };
  return (
    <input
      className="title-field nodrag"
      autoFocus
      aria-label={t("Title of the node")}
      placeholder={standard}
      value={text}
      onFocus={(event) => event.target.select()}
      onChange={(event) => setText(event.target.value)}
      onBlur={commit}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Escape") {
          left.current = true;
          done();
        }
        if (event.key === "Enter") commit();
        if (event.key === "Enter" || event.key === "Escape") document.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(name)}"]`)?.focus({ preventScroll: true });
      }}
    />
  );
}
