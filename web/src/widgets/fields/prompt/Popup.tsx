import { useLayoutEffect, useRef } from "react";
import { createPortal } from "react-dom";
import { t, type Text } from "../../../words";
import type { Kind, Offer } from "./complete";

const KINDS: Record<Kind, Text> = {
  embedding: "embedding",
  wildcard: "wildcard",
  lora: "LoRA: puts its nodes in",
  choice: "choice",
  word: "used before",
  break: "new window",
};

/** The list of offers below the caret. The focus stays in the text, which says what is chosen (aria-activedescendant). */
export function Popup(props: {
  id: string;
  at: { left: number; top: number; bottom: number };
  home: Element;
  offers: Offer[];
  chosen: number;
  onChoose: (offer: Offer) => void;
}) {
  const box = useRef<HTMLUListElement>(null);
  const { at, chosen } = props;
  useLayoutEffect(() => {
    const list = box.current;
    if (!list) return;
    const { width, height } = list.getBoundingClientRect();
    const below = at.bottom + 4 + height <= window.innerHeight - 4;
    list.style.left = `${Math.max(4, Math.min(at.left, window.innerWidth - width - 4))}px`;
    list.style.top = `${below ? at.bottom + 4 : Math.max(4, at.top - height - 4)}px`;
  });
  useLayoutEffect(() => {
    box.current?.children[chosen]?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return createPortal(
    <ul ref={box} id={props.id} role="listbox" aria-label={t("Completions")} className="offers nodrag nowheel">
      {props.offers.map((offer, index) => (
        <li
          key={`${offer.kind} ${offer.label}`}
          id={`${props.id}-${index}`}
          role="option"
          aria-selected={index === chosen}
          // The focus stays where it is; a finger that scrolls the list does not choose.
          onPointerDown={(event) => event.preventDefault()}
          onClick={() => props.onChoose(offer)}
        >
          <b>{offer.label}</b>
          <span>{t(KINDS[offer.kind])}</span>
        </li>
      ))}
    </ul>,
    props.home,
  );
}
