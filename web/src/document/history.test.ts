import fc from "fast-check";
import { expect, test } from "vitest";
import type { GraphJson, NodeSpec, WorkflowJson } from "../protocol/types";
import type { Command } from "./commands";
import { begin, perform, redo, settle, undo } from "./history";
import * as operations from "./operations";
import { index } from "./specs";
import { wiresOf } from "./wires";

const SPECS: NodeSpec[] = [
  {
    id: "toy.make",
    title: "Make",
    help: "",
    inputs: [{ name: "seed", type: "int", default: 0 }],
    outputs: [{ name: "image", type: "Image" }],
  },
  {
    id: "toy.grid",
    title: "Grid",
    help: "",
    inputs: [
      { name: "images", type: "Image", gather: "list" },
      { name: "mask", type: "Mask?", default: null },
    ],
    outputs: [{ name: "image", type: "Image" }],
  },
  {
    id: "toy.soft",
    title: "Soften",
    help: "",
    inputs: [
      { name: "image", type: "Image" },
      { name: "seed", type: "int", default: 0 },
    ],
    outputs: [{ name: "image", type: "Image" }],
  },
  { id: "values.int", title: "Int", help: "", inputs: [{ name: "value", type: "int", default: 0 }], outputs: [{ name: "value", type: "int" }] },
  {
    id: "reroute",
    title: "Reroute",
    help: "",
    flow: true,
    inputs: [{ name: "value", type: { name: "T", variable: true } }],
    outputs: [{ name: "value", type: { name: "T", variable: true } }],
  },
];
const INDEX = index({ nodes: SPECS, types: [], packs: [], connect: { Image: { Image: "fits", "Image?": "fits" } } });

const SEED = { name: "seed", type: "int", default: 0 };

type Roll = (below: number) => number;

/** One thing that a person might do to this document, chosen by `roll`. */
function randomCommand(document: WorkflowJson, roll: Roll): Command | null {
  const names = Object.keys(document.nodes);
  const pick = () => names[roll(names.length)] ?? "";
  const some = () => names.filter(() => roll(3) === 0);
  const spots = Object.fromEntries(names.map((name) => [name, document.view?.nodes?.[name] ?? { x: 0, y: 0 }]));
  const wires = [...wiresOf(document)];
  const wire = wires[roll(wires.length || 1)];
  const things = (kind: "frames" | "notes") => operations.thingsIn(document.view, kind, "").map(([name]) => name);
  const box = { x: roll(500), y: roll(500), w: 100 + roll(90), h: 80 };
  if (!names.length) return operations.addNode(document, "", SPECS[0] as NodeSpec, { x: 0, y: 0 });
  const all: (() => Command | null)[] = [
    () => operations.addNode(document, "", SPECS[roll(2)] as NodeSpec, { x: roll(900), y: roll(900) }),
    () => operations.addNode(document, "", SPECS[roll(3)] as NodeSpec, { x: roll(900), y: roll(900) }),
    () => operations.removeNodes(document, "", some()),
    () => operations.connect(document, "", { node: pick(), output: "image" }, { node: pick(), slot: `images/${roll(3)}` }),
    () => operations.connect(document, "", { node: pick(), output: "image" }, { node: pick(), slot: "image" }),
    () => operations.disconnect(document, "", wires.filter(() => roll(2) === 0)),
    () => operations.setValue("", pick(), "seed", roll(5)),
    () => operations.moveAll(document, "", { nodes: { [pick()]: box }, frames: { [things("frames")[0] ?? ""]: box } }),
    () => operations.setMode(document, "", some(), roll(2) ? "mute" : "bypass"),
    () => operations.paste(document, "", operations.copy(document, "", some(), spots, { frames: things("frames") }), { x: 5, y: 5 }, roll(2) === 0),
    () => operations.rename(document, "", pick(), `name ${roll(6)}`),
    () => operations.collapse(document, "", some()),
    () => operations.group(document, "", some(), spots),
    () => operations.ungroup(document, "", names.find((name) => document.nodes[name]?.type.startsWith("#")) ?? ""),
    () => operations.renameGraph(document, Object.keys(document.graphs ?? {})[0] ?? "", `graph ${roll(4)}`),
    () => operations.addFrame(document, "", { ...box, title: "frame" }),
    () => operations.editFrame(document, "", things("frames")[0] ?? "", { hue: roll(360), w: 90 + roll(50) }),
    () => operations.addNote(document, "", { ...box, text: `note ${roll(9)}` }),
    () => operations.editNote(document, "", things("notes")[0] ?? "", { text: `note ${roll(9)}` }),
    () => operations.removeThings("", "notes", things("notes").slice(0, 1)),
    () => operations.stub(document, "", wires.filter(() => roll(2) === 0).map((held) => `${held.node}|${held.slot}`)),
    () => (wire ? operations.splice(document, INDEX, "", wire.from, wire, roll(2) ? "toy.soft" : "reroute") : null),
    () => (wire ? operations.spliceNode(document, INDEX, "", pick(), wire.from, wire) : null),
    () => operations.dissolve(document, INDEX, "", some()),
    () => (wire ? operations.rewire(document, "", wire.from, { node: pick(), output: "image" }) : null),
    () => (wire ? operations.reroute(document, "", wire.from, wire, box) : null),
    () => operations.valueNode(document, INDEX, "", pick(), SEED, box),
    () => operations.typedAgain(document, "", pick(), SEED),
    () => operations.exposeOutput(document, "", pick(), "image"),
    () => operations.expose(document, "", pick(), SEED),
    () => operations.renameSocket(document, Object.keys(document.graphs ?? {})[0] ?? "", roll(2) ? "parameters" : "outputs", ["image", "images", "seed"][roll(3)] ?? "", `socket ${roll(4)}`),
    () => operations.makeUnique(document, "", names.find((name) => document.nodes[name]?.type.startsWith("#")) ?? ""),
    () => operations.colour("", some(), roll(2) ? roll(360) : undefined),
    () => operations.retitle("", pick(), `title ${roll(5)}`),
    () => operations.replaceNode(document, INDEX, "", pick(), SPECS[roll(SPECS.length)] as NodeSpec)?.command ?? null,
  ];
  return (all[roll(all.length)] as () => Command | null)();
}

function dangling(graph: GraphJson): string[] {
  return [...wiresOf(graph)].filter((wire) => !graph.nodes[wire.from.node]).map((wire) => JSON.stringify(wire));
}

test("undoing everything gives the first document back, key order and all, and redoing gives the last", () => {
  const rolls = fc.array(fc.nat({ max: 9999 }), { minLength: 200, maxLength: 600 });
  fc.assert(
    fc.property(rolls, (numbers) => {
      let at = 0;
      const roll: Roll = (below) => (numbers[at++ % numbers.length] ?? 0) % below;
      let document = operations.EMPTY;
      for (let i = 0; i < 4; i++) document = perform(begin(document), operations.addNode(document, "", SPECS[i % 3] as NodeSpec, { x: i * 300, y: 0 })).document;
      const start = JSON.stringify(document);
      let history = begin(document);
      // As long as there are numbers left, so that a shorter list is a shorter story.
      while (at < numbers.length) {
        const command = randomCommand(history.document, roll);
        if (command) history = roll(4) ? perform(history, command) : settle(perform(history, command));
        expect(dangling(history.document)).toEqual([]);
      }
      const end = JSON.stringify(history.document);
      while (history.past.length) history = undo(history);
      expect(JSON.stringify(history.document)).toBe(start);
      while (history.future.length) history = redo(history);
      expect(JSON.stringify(history.document)).toBe(end);
    }),
    { numRuns: 100, seed: 20260101 },
  );
}, 60_000);

test("what does not change is shared between the documents before and after", () => {
  let history = begin({ weft: 1, nodes: { a: { type: "toy.make", inputs: {} }, b: { type: "toy.make", inputs: {} } } });
  const before = history.document;
  history = perform(history, operations.setValue("", "a", "seed", 3));
  expect(history.document.nodes.b).toBe(before.nodes.b);
  expect(history.document.nodes.a).not.toBe(before.nodes.a);
});

test("typing into one input is one undo step until it is settled", () => {
  let history = begin({ weft: 1, nodes: { a: { type: "toy.make", inputs: { text: "" } } } });
  for (const text of ["r", "re", "red"]) history = perform(history, operations.setValue("", "a", "text", text));
  expect(history.past).toHaveLength(1);
  history = perform(settle(history), operations.setValue("", "a", "text", "red sphere"));
  expect(history.past).toHaveLength(2);
  history = undo(history);
  expect(history.document.nodes.a?.inputs.text).toBe("red");
  history = undo(history);
  expect(history.document.nodes.a?.inputs.text).toBe("");
});
