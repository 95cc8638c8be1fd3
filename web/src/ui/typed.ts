import { useState } from "react";

/** Letters on their way: what stood before them, and each text since, oldest first. */
interface OnTheWay {
  before: string;
  sent: string[];
}

/** Do these letters still lead on from this value? Where not, it was changed elsewhere: undone, or in another window. */
const leads = (way: OnTheWay, value: string): boolean => value === way.before || way.sent.includes(value);

/** What a field shows when its value is `value`: the letters that are on their way to the document count already. */
export const shownOf = (way: OnTheWay | null, value: string): string => (way && leads(way, value) ? (way.sent.at(-1) ?? value) : value);

export function sendOn(way: OnTheWay | null, value: string, text: string): OnTheWay {
  if (!way || !leads(way, value)) return { before: value, sent: [text] };
  return { before: value, sent: [...way.sent.slice(way.sent.indexOf(value) + 1), text] };
}

/**
 * The text of a field, and what takes a new one.
 *
 * On the canvas a value comes back to its field a moment after it was typed. A field that shows the old text for that
 * moment is written anew, and the browser puts the caret behind the last letter; so it shows what was typed at once.
 */
export function useTyped(value: string, onChange: (text: string) => void): [string, (text: string) => void] {
  const [way, setWay] = useState<OnTheWay | null>(null);
  if (way && (value === way.sent.at(-1) || !leads(way, value))) setWay(null); // arrived, or overtaken
  const type = (text: string) => {
    setWay((held) => sendOn(held, value, text));
    onChange(text);
  };
  return [shownOf(way, value), type];
}
