/** Pictures that nodes load are seen on them before anything runs. */

import { literal } from "../document/wires";
import { specOf } from "../document/specs";
import { fileUrl } from "../protocol/http";
import { specsNow, useCatalogue } from "./catalogue";
import { documentNow, graphNow, prefixOf, useDocument } from "./document";
import { useRun } from "./run";

let shown: Record<string, string> = {}; // path -> the file that is shown there

function look(): void {
  const graph = graphNow();
  const prefix = prefixOf(useDocument.getState());
  const wanted: Record<string, string> = {};
  for (const [name, json] of Object.entries(graph.nodes)) {
    const input = specOf(json, documentNow(), specsNow())?.inputs.find((item) => item.widget?.kind === "file" && item.widget.place === "input");
    const file = input && literal(json.inputs[input.name]);
    if (typeof file === "string" && file) wanted[prefix + name] = file;
  }
  const before = shown;
  shown = wanted;
  const kept = Object.fromEntries(Object.entries(useRun.getState().inputs).filter(([path]) => wanted[path] && wanted[path] === before[path]));
  if (Object.keys(kept).length !== Object.keys(useRun.getState().inputs).length) useRun.setState({ inputs: kept });
  for (const [path, file] of Object.entries(wanted)) {
    if (before[path] === file) continue;
    const url = fileUrl("input", file);
    const image = new Image();
    image.onload = () => {
      if (shown[path] !== file) return;
      const picture = { blob: "", url, width: image.naturalWidth, height: image.naturalHeight };
      useRun.setState((state) => ({ inputs: { ...state.inputs, [path]: [picture] } }));
    };
    image.src = url;
  }
}

export function watchInputs(): void {
  let graph: unknown = null;
  const check = () => {
    if (graphNow() === graph) return;
    graph = graphNow();
    look();
  };
  useDocument.subscribe(check);
  useCatalogue.subscribe(look);
  check();
}
