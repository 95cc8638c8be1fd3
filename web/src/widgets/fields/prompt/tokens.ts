import { useEffect, useState } from "react";
import { api } from "../../../protocol/http";
import type { TokenCount } from "../../../protocol/types";
import { outgoing } from "../../../state/actions";
import { prefixOf, useDocument } from "../../../state/document";
import { innermost } from "./inner";

const QUIET = 350; // ms after the last letter
const KEPT = 60;
const held = new Map<string, TokenCount[]>(); // by the workflow and the input: what is counted hangs on both

/** How many tokens the encoders read of a text; null while it is not known, or cannot be. */
export function useTokens(node: string, type: string, input: string, asked: boolean): TokenCount[] | null {
  const [counts, setCounts] = useState<TokenCount[] | null>(null);
  const document = useDocument((state) => (asked ? state.tabs.find((tab) => tab.id === state.active)?.history.document : null));
  const prefix = useDocument(prefixOf);
  useEffect(() => {
    if (!asked) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      const inner = innermost(type, input);
      if (!inner) return setCounts(null);
      const to = `${prefix}${node}${inner.below}.${inner.input}`;
      const workflow = { ...outgoing(), view: undefined }; // where nodes stand changes no token
      const key = `${to} ${JSON.stringify(workflow)}`;
      const known = held.get(key);
      if (known) return setCounts(known);
      api.tokens(workflow, to, stop.signal).then(
        (found) => {
          held.set(key, found.counts);
          if (held.size > KEPT) held.delete(held.keys().next().value as string);
          setCounts(found.counts);
        },
        () => !stop.signal.aborted && setCounts(null),
      );
    }, QUIET);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [asked, document, prefix, node, type, input]);
  return counts;
}

export interface Told {
  text: string;
  /** More than an encoder takes at all. */
  over: boolean;
}

/** "23 / 75"; of several windows each, "75 · 12 / 75"; of unlike encoders each with its name. */
export function told(counts: TokenCount[]): Told | null {
  const groups = new Map<string, string[]>();
  for (const count of counts) {
    const text = `${count.windows.join(" · ")} / ${count.room}`;
    groups.set(text, [...(groups.get(text) ?? []), count.encoder]);
  }
  if (!groups.size) return null;
  const over = counts.some((count) => count.windows.some((tokens) => tokens > count.room));
  const rows = [...groups];
  const text = rows.length === 1 ? (rows[0] as [string, string[]])[0] : rows.map(([figures, names]) => `${[...new Set(names)].join(", ")} ${figures}`).join("   ");
  return { text, over };
}
