import { parseEnd } from "../../../document/wires";
import { documentNow } from "../../../state/document";

export interface Inner {
  /** Between the instance and the node, as in paths: `/prompt`, or nothing. */
  below: string;
  type: string;
  input: string;
}

/** The input that really takes the text: of an instance of a sub-graph, the one inside. Null where none can be named. */
export function innermost(type: string, input: string): Inner | null {
  const found = { below: "", type, input };
  for (let depth = 0; found.type.startsWith("#"); depth++) {
    const graph = documentNow().graphs?.[found.type.slice(1)];
    const to = graph?.parameters?.[found.input]?.to[0];
    const end = to === undefined ? undefined : parseEnd(to);
    const node = end && graph?.nodes[end.node];
    if (!end || !node || depth > 16) return null;
    Object.assign(found, { below: `${found.below}/${end.node}`, type: node.type, input: end.output });
  }
  return found.type === "map" || found.type === "fold" ? null : found;
}
