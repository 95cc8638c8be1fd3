import { expect, test } from "vitest";
import type { NodeSpec, WorkflowJson } from "../protocol/types";
import { apply, type Command } from "./commands";
import * as operations from "./operations";
import { index } from "./specs";
import { wiresOf } from "./wires";

const spec = (id: string, inputs: NodeSpec["inputs"], outputs: NodeSpec["outputs"], more: Partial<NodeSpec> = {}): NodeSpec => ({ id, title: id, help: "", inputs, outputs, ...more });
const T = { name: "T", variable: true };
const STEPS = { name: "steps", type: "int", default: 20 };
const SPECS = index({
  nodes: [
    spec("make", [STEPS], [{ name: "image", type: "Image" }, { name: "mask", type: "Mask" }]),
    spec("soft", [{ name: "image", type: "Image" }], [{ name: "image", type: "Image" }], { bypass: [["image", "image"]] }),
    spec("save", [{ name: "image", type: "Image" }], [{ name: "image", type: "Image" }]),
    spec("values.int", [{ name: "value", type: "int" }], [{ name: "value", type: "int" }]),
    { ...spec("reroute", [{ name: "value", type: T }], [{ name: "value", type: T }]), flow: true },
  ],
  types: [],
  packs: [],
  connect: { Image: { Image: "fits" }, int: { int: "fits" } },
});
const START: WorkflowJson = {
  weft: 1,
  nodes: {
    make: { type: "make", inputs: { steps: 8 } },
    soft: { type: "soft", inputs: { image: { from: "make.image" } } },
    save: { type: "save", inputs: { image: { from: "soft.image" } } },
  },
  parameters: { steps: { to: ["make.steps"] } },
  outputs: { picture: "soft.image" },
};
const done = (document: WorkflowJson, command: Command | null): WorkflowJson => {
  if (!command) throw new Error("no command");
  return apply(document, command).document;
};
const wires = (document: WorkflowJson) => [...wiresOf(document)].map((wire) => `${wire.from.node}.${wire.from.output}>${wire.node}.${wire.slot}`);

test("a node taken out leaves its readers what it would hand on when bypassed, outputs of the graph as well", () => {
  const after = done(START, operations.dissolve(START, SPECS, "", ["soft"]));
  expect(wires(after)).toEqual(["make.image>save.image"]);
  expect(after.outputs).toEqual({ picture: "make.image" });
});

test("a row of bends and passing nodes taken out at once is followed to its beginning", () => {
  let document = done(START, operations.reroute(START, "", { node: "make", output: "image" }, { node: "soft", slot: "image" }, { x: 1, y: 2 }));
  expect(wires(document)).toContain("reroute.value>soft.image");
  document = done(document, operations.dissolve(document, SPECS, "", ["reroute", "soft"]));
  expect(wires(document)).toEqual(["make.image>save.image"]);
  expect(document.view?.nodes).toEqual({});
});

test("all wires of an output move together", () => {
  const two = done(START, operations.connect(START, "", { node: "make", output: "image" }, { node: "save", slot: "image" }));
  const after = done(two, operations.rewire(two, "", { node: "make", output: "image" }, { node: "make", output: "mask" }));
  expect(wires(after)).toEqual(["make.mask>soft.image", "make.mask>save.image"]);
});

test("a typed value becomes a node and comes back; the form goes with it both ways", () => {
  const made = operations.valueNode(START, SPECS, "", "make", STEPS, { x: 0, y: 0 });
  const out = done(START, made);
  expect(out.nodes.steps).toMatchObject({ type: "values.int", inputs: { value: 8 }, title: "steps" });
  expect(out.nodes.make?.inputs.steps).toEqual({ from: "steps.value" });
  expect(out.parameters).toEqual({ steps: { to: ["steps.value"] } });
  const back = done(out, operations.typedAgain(out, "", "make", STEPS));
  expect(back.nodes).toEqual(START.nodes);
  expect(back.parameters).toEqual(START.parameters);
});

test("a drawn seed is no value that a node could hold", () => {
  const drawn = done(START, operations.setValue("", "make", "steps", "random"));
  expect(operations.valueNode(drawn, SPECS, "", "make", STEPS, { x: 0, y: 0 })).toBeNull();
});

const TWO: WorkflowJson = {
  weft: 1,
  nodes: {
    make: { type: "make", inputs: {} },
    one: { type: "#group", inputs: { image: { from: "make.image" } } },
    two: { type: "#group", inputs: { image: { from: "one.image" } } },
    save: { type: "save", inputs: { image: { from: "two.image" } } },
  },
  graphs: { group: { nodes: { soft: { type: "soft", inputs: {} } }, parameters: { image: { to: ["soft.image"] } }, outputs: { image: "soft.image" } } },
  parameters: { picture: { to: ["one.image"] } },
  view: { nodes: { "#group/soft": { x: 5, y: 6 } } },
};

test("a socket of a sub-graph is renamed at every instance and at every wire", () => {
  let after = done(TWO, operations.renameSocket(TWO, "group", "parameters", "image", "picture"));
  after = done(after, operations.renameSocket(after, "group", "outputs", "image", "softer"));
  expect(after.nodes.two?.inputs).toEqual({ picture: { from: "one.softer" } });
  expect(after.nodes.save?.inputs).toEqual({ image: { from: "two.softer" } });
  expect(after.parameters).toEqual({ picture: { to: ["one.picture"] } });
  expect(operations.renameSocket(after, "group", "outputs", "softer", "  ")).toBeNull();
});

test("an instance made unique is edited alone, its layout as well", () => {
  const made = operations.makeUnique(TWO, "", "two");
  const after = done(TWO, made);
  expect(made?.title).toBe("group_2");
  expect([after.nodes.one?.type, after.nodes.two?.type]).toEqual(["#group", "#group_2"]);
  expect(after.view?.nodes?.["#group_2/soft"]).toEqual({ x: 5, y: 6 });
  const edited = done(after, operations.removeNodes(after, "group_2", ["soft"]));
  expect(edited.graphs?.group?.nodes.soft).toBeDefined();
  expect(operations.makeUnique(after, "", "two")).toBeNull();
});

test("an output of a sub-graph is shown and hidden, and who read it is cut loose", () => {
  const hidden = done(TWO, operations.exposeOutput(TWO, "group", "soft", "image"));
  expect(hidden.graphs?.group?.outputs).toEqual({});
  expect(hidden.nodes.save?.inputs).toEqual({});
  expect(wires(hidden)).toEqual(["make.image>one.image"]);
});
