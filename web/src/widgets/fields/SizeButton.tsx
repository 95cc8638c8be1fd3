import { specOf } from "../../document/specs";
import { setValue } from "../../document/operations";
import { isLink, literal } from "../../document/wires";
import { chain } from "../../document/commands";
import type { InputSpec } from "../../protocol/types";
import { specsNow } from "../../state/catalogue";
import { documentNow, graphNow, perform, scopeNow, useDocument } from "../../state/document";
import { loadModels, wiredModel } from "../../state/models";
import { type MenuRow, useUi } from "../../state/ui";
import { IconButton } from "../../ui/basics";
import { t } from "../../words";
import { commonSizes, type Pair } from "./sizes";

/** The width and the height of a node where both are typed in; null where it has no such pair. */
export function sizeOf(node: string): Pair | null {
  const json = graphNow().nodes[node];
  const inputs = (json && specOf(json, documentNow(), specsNow())?.inputs) ?? [];
  const side = (name: string): number | null => {
    const input = inputs.find((item) => item.name === name && item.type === "int");
    if (!input || isLink(json?.inputs[name])) return null;
    const held = literal(json?.inputs[name]) ?? input.default;
    return typeof held === "number" ? held : null;
  };
  const [width, height] = [side("width"), side("height")];
  return width === null || height === null ? null : [width, height];
}

/** Both sides as one step to undo. */
function resize(node: string, [width, height]: Pair): void {
  const set = (name: string, to: number) => () => setValue(scopeNow(), node, name, to);
  useDocument.getState().settle();
  perform(chain(documentNow(), "size", set("width", width), set("height", height)));
  useDocument.getState().settle();
}

export function sizeRows(node: string): MenuRow[] {
  const held = sizeOf(node);
  if (!held) return [];
  const model = wiredModel(node)?.row;
  const rows = commonSizes(model?.family ?? "", model?.side).map((pair): MenuRow => {
    const [width, height] = pair;
    const here = width === held[0] && height === held[1];
    return { label: `${here ? "✓ " : ""}${width} × ${height}`, keys: shape(pair), run: () => resize(node, pair) };
  });
  return [{ label: t("Swap width and height"), disabled: held[0] === held[1], run: () => resize(node, [held[1], held[0]]) }, null, ...rows];
}

function shape([width, height]: Pair): string {
  if (width === height) return t("square");
  return width > height ? t("landscape") : t("portrait");
}

/** Beside a width that has its height: swap them, or take a size that the model was trained with. */
export function SizeButton({ node, input, label }: { node: string; input: InputSpec; label: string }) {
  const there = useDocument(() => input.name === "width" && sizeOf(node) !== null);
  if (!there) return null;
  return (
    <IconButton
      icon="rect"
      className="sizes"
      label={t("{field}: swap, common sizes", { field: label })}
      onClick={() => {
        const at = document.activeElement?.getBoundingClientRect();
        void loadModels().then(() => {
          useUi.getState().set({ menu: { at: { x: at?.left ?? 80, y: at?.bottom ?? 80 }, label: t("Sizes"), rows: sizeRows(node) } });
        });
      }}
    />
  );
}
