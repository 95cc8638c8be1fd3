import { expect, test } from "vitest";
import type { GraphJson, NodeSpec, WorkflowJson } from "../protocol/types";
import { begin, perform, redo, settle, undo } from "./history";
import * as operations from "./operations";
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
];

// A small generator of its own: the same numbers on every machine, so that a failure can be repeated.
function dice(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return ((state ^ (state >>> 13)) >>> 0) % below;
  };
}

function randomCommand(document: WorkflowJson, roll: (below: number) => number) {
  const names = Object.keys(document.nodes);
  const pick = () => names[roll(names.length)] ?? "";
  const some = () => names.filter(() => roll(3) === 0);
  const spots = Object.fromEntries(names.map((name) => [name, document.view?.nodes?.[name] ?? { x: 0, y: 0 }]));
  if (!names.length) return operations.addNode(document, "", SPECS[0] as NodeSpec, { x: 0, y: 0 });
  switch (roll(12)) {
    case 0:
    case 1:
      return operations.addNode(document, "", SPECS[roll(2)] as NodeSpec, { x: roll(900), y: roll(900) });
    case 2:
      return operations.removeNodes(document, "", some());
    case 3:
    case 4:
      return operations.connect(document, "", { node: pick(), output: "image" }, { node: pick(), slot: `images/${roll(3)}` });
    case 5: {
      const wires = [...wiresOf(document)].filter(() => roll(2) === 0);
      return operations.disconnect(document, "", wires);
    }
    case 6:
      return operations.setValue("", pick(), "seed", roll(5));
    case 7:
      return operations.move("", { [pick()]: { x: roll(500), y: roll(500) } });
    case 8:
      return operations.setMode(document, "", some(), roll(2) ? "mute" : "bypass");
    case 9:
      return operations.paste(document, "", operations.copy(document, "", some(), spots), { x: 5, y: 5 }, roll(2) === 0);
    case 10:
      return operations.rename(document, "", pick(), `name ${roll(6)}`);
    default:
      return roll(3) ? operations.collapse(document, "", some()) : operations.group(document, "", some(), spots);
  }
}

function dangling(graph: GraphJson): string[] {
  return [...wiresOf(graph)].filter((wire) => !graph.nodes[wire.from.node]).map((wire) => JSON.stringify(wire));
}

test("undoing everything gives the first document back, key order and all, and redoing gives the last", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const roll = dice(seed);
    let document = operations.EMPTY;
    for (let i = 0; i < 4; i++) {
      const command = operations.addNode(document, "", SPECS[i % 2] as NodeSpec, { x: i * 300, y: 0 });
      document = perform(begin(document), command).document;
    }
    const start = JSON.stringify(document);
    let history = begin(document);
    for (let i = 0; i < 80; i++) {
      const command = randomCommand(history.document, roll);
      if (command) history = roll(4) ? perform(history, command) : settle(perform(history, command));
      expect(dangling(history.document), `seed ${seed}, command ${i}`).toEqual([]);
    }
    const end = JSON.stringify(history.document);
    while (history.past.length) history = undo(history);
    expect(JSON.stringify(history.document), `seed ${seed}`).toBe(start);
    while (history.future.length) history = redo(history);
    expect(JSON.stringify(history.document), `seed ${seed}`).toBe(end);
  }
});

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
