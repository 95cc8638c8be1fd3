import { expect, test } from "vitest";
import manifestText from "../../../../nodes/nodes.json?raw";
import imageToImage from "../../../../workflows/image_to_image.json?raw";
import inpaint from "../../../../workflows/inpaint.json?raw";
import { apply } from "../../document/commands";
import { index } from "../../document/specs";
import type { NodeSpec, WorkflowJson } from "../../protocol/types";
import { placeMask, targetsFor } from "./targets";

const manifest = JSON.parse(manifestText) as { nodes: NodeSpec[] };
const specs = index({ nodes: manifest.nodes, types: [], packs: [], connect: {} });

test("over the picture of an inpainting the mask takes the rectangle's place everywhere, and undo brings it back", () => {
  const document = JSON.parse(inpaint) as WorkflowJson;
  const ground = { document, scope: "", specs };
  const targets = targetsFor(ground, "picture");
  expect(targets[0]?.instead).toBe("area.mask");
  const command = placeMask(ground, "picture", targets[0] as (typeof targets)[0], "m.png");
  const { document: after, inverse } = apply(document, command);
  expect(after.nodes.encode?.inputs.mask).toEqual({ from: "painted mask.mask" });
  expect(after.nodes.edge?.inputs.mask).toEqual({ from: "painted mask.mask" });
  expect(after.nodes.area).toBeUndefined();
  expect(after.parameters?.left).toBeUndefined();
  expect(apply(after, inverse).document).toEqual(document);
  // Painted once more: the same node, another file.
  const again = targetsFor({ ...ground, document: after }, "picture");
  expect(again[0]?.update).toBe("painted mask");
  const twice = apply(after, placeMask({ ...ground, document: after }, "picture", again[0] as (typeof again)[0], "n.png")).document;
  expect(Object.keys(twice.nodes)).toEqual(Object.keys(after.nodes));
  expect(twice.nodes["painted mask"]?.inputs.name).toBe("n.png");
});

test("a free mask socket that the picture leads to comes before one that has nothing to do with it", () => {
  const document = JSON.parse(imageToImage) as WorkflowJson;
  const ground = { document, scope: "", specs };
  const picture = Object.keys(document.nodes).find((name) => document.nodes[name]?.type === "image.load") as string;
  const [first, ...rest] = targetsFor(ground, picture);
  expect(first?.socket).toBe("encode.mask");
  expect(rest.map((target) => target.id)).toContain("alone");
  const after = apply(document, placeMask(ground, picture, first as typeof rest[0], "m.png")).document;
  expect(after.nodes.encode?.inputs.mask).toEqual({ from: "painted mask.mask" });
});
