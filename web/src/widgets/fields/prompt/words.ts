import { useEffect, useState } from "react";
import { api } from "../../../protocol/http";
import type { Vocabulary } from "./complete";
import { innermost } from "./inner";

const FRESH = 30_000; // ms for which the names of files and the words of the history stand
const held = new Map<string, { at: number; found: Promise<Vocabulary> }>();
const NOTHING: Vocabulary = { names: {}, words: [] };

function vocabulary(given: string, outer: string): Promise<Vocabulary> {
  const inner = innermost(given, outer);
  if (!inner) return Promise.resolve(NOTHING);
  const { type, input } = inner;
  const key = `${type} ${input}`;
  const known = held.get(key);
  if (known && Date.now() - known.at < FRESH) return known.found;
  const found = api.words(type, input).catch(() => NOTHING);
  held.set(key, { at: Date.now(), found });
  return found;
}

/** What can be completed in an input: asked for when its field wakes, and again when it is old. */
export function useVocabulary(type: string, input: string): Vocabulary {
  const [known, setKnown] = useState(NOTHING);
  useEffect(() => {
    let gone = false;
    void vocabulary(type, input).then((found) => !gone && setKnown(found));
    return () => {
      gone = true;
    };
  }, [type, input]);
  return known;
}
