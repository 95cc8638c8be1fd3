import type { NodeSpec } from "../protocol/types";
import { best, score } from "../ui/fuzzy";

const CHAPTER = 0.6; // a chapter's name means all of its nodes, and so none of them before one that is called so

/** How well words name a node: by its title, its id, what other programs call it, or its chapter; 0 is not at all. */
export const names = (query: string, spec: Pick<NodeSpec, "title" | "id" | "aliases" | "category">): number =>
  Math.max(best(query, [spec.title, spec.id, ...(spec.aliases ?? [])]), CHAPTER * score(query, spec.category ?? ""));
