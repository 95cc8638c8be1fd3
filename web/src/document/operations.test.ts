import { expect, test } from "vitest";
import type { NodeSpec, WorkflowJson } from "../protocol/types";
import { apply } from "./commands";
import * as operations from "./operations";
import { fit, index, socketType, specOf, typeFrom } from "./specs";
import { asSource, literal, wiresOf } from "./wires";

const spec = (id: string, inputs: NodeSpec["inputs"], outputs: NodeSpec["outputs"]): NodeSpec => ({
  id,
  title: id,
  help: "",
  inputs,
  outputs,
});
const NODES = [
  spec("load.model", [{ name: "model", type: "str", default: "starter/unet" }], [{ name: "vae", type: "VAE" }]),
  spec("sample", [], [{ name: "latent", type: "Latent" }]),
  spec("vae.decode", [{ name: "vae", type: "VAE" }, { name: "latent", type: "Latent" }], [{ name: "image", type: "Image" }]),
  spec("save", [{ name: "image", type: "Image" }], [{ name: "image", type: "Image" }]),
  spec("reroute", [{ name: "value", type: { name: "T", variable: true } }], [{ name: "value", type: { name: "T", variable: true } }]),
];
const SPECS = index({
  nodes: NODES,
  types: [],
  packs: [],
  connect: { Latent: { Latent: "fits", Image: "no" }, VAE: { VAE: "fits" }, Image: { Image: "fits" } },
});
const CHAIN: WorkflowJson = {
  weft: 1,
  nodes: {
    load: { type: "load.model", inputs: { model: "starter/unet" } },
    sample: { type: "sample", inputs: {} },
    decode: { type: "vae.decode", inputs: { vae: { from: "load.vae" }, latent: { from: "sample.latent" } } },
    save: { type: "save", inputs: { image: { from: "decode.image" } } },
  },
  parameters: { model: { to: ["load.model"] } },
  outputs: { image: "save.image" },
};
const applied = (document: WorkflowJson, command: operations.MaybeCommand): WorkflowJson => {
  if (!command) throw new Error("no command");
  return apply(document, command).document;
};

test("a mend that inserts a node wires it in between and gives it what it needs", () => {
  const wrong = structuredClone(CHAIN);
  wrong.nodes = {
    load: wrong.nodes.load as never,
    sample: wrong.nodes.sample as never,
    save: { type: "save", inputs: { image: { from: "sample.latent" } } },
  };
  const mended = applied(
    wrong,
    operations.mend(wrong, SPECS, [{ insert: { type: "vae.decode", between: ["sample.latent", "save.image"] } }]),
  );
  expect(mended.nodes.decode?.inputs).toEqual({ latent: { from: "sample.latent" }, vae: { from: "load.vae" } });
  expect(mended.nodes.save?.inputs.image).toEqual({ from: "decode.image" });
});

test("a mend that puts a node before an input gives it what stood there, and the parameter that set it", () => {
  const mended = applied(
    CHAIN,
    operations.mend(CHAIN, SPECS, [{ put: { type: "vae.decode", before: "load.model", input: "text", output: "image" } }]),
  );
  expect(mended.nodes.decode_2?.inputs.text).toBe("starter/unet");
  expect(mended.nodes.load?.inputs.model).toEqual({ from: "decode_2.image" });
  expect(mended.parameters?.model?.to).toEqual(["decode_2.text"]);
});

test("a mend that puts a node behind another takes over its readers, with a node of its own to read", () => {
  const beside = { type: "load.model", into: "lora", output: "lora", inputs: { model: "ink" } };
  const mended = applied(
    CHAIN,
    operations.mend(CHAIN, SPECS, [
      { put: { type: "pass", behind: "decode.vae", passes: ["model", "vae"], inputs: { strength: 0.7 }, with: beside } },
    ]),
  );
  expect(mended.nodes.pass?.inputs).toEqual({ strength: 0.7, lora: { from: "model.lora" }, vae: { from: "load.vae" } });
  expect(mended.nodes.model?.inputs.model).toBe("ink");
  expect(mended.nodes.decode?.inputs.vae).toEqual({ from: "pass.vae" });
});

test("a removed node takes its wires, its parameters and its outputs with it", () => {
  const left = applied(CHAIN, operations.removeNodes(CHAIN, "", ["load", "save"]));
  expect(Object.keys(left.nodes)).toEqual(["sample", "decode"]);
  expect(left.nodes.decode?.inputs).toEqual({ latent: { from: "sample.latent" } });
  expect(left.parameters).toEqual({});
  expect(left.outputs).toEqual({});
});

test("a renamed node keeps its wires, its parameters and its outputs", () => {
  const renamed = applied(CHAIN, operations.rename(CHAIN, "", "load", "loader"));
  expect(renamed.nodes.decode?.inputs.vae).toEqual({ from: "loader.vae" });
  expect(renamed.parameters?.model?.to).toEqual(["loader.model"]);
  expect(Object.keys(renamed.nodes)).toEqual(["loader", "sample", "decode", "save"]);
  expect(operations.rename(CHAIN, "", "load", "save")).toBeNull();
});

test("a sub-graph has the wires across its edge as parameters and outputs, of the same types", () => {
  const grouped = applied(CHAIN, operations.group(CHAIN, "", ["load", "decode"], {}));
  expect(Object.keys(grouped.nodes)).toEqual(["sample", "save", "group"]);
  expect(grouped.nodes.save?.inputs.image).toEqual({ from: "group.image" });
  expect(grouped.parameters?.model?.to).toEqual(["group.model"]);
  const instance = grouped.nodes.group && specOf(grouped.nodes.group, grouped, SPECS);
  expect(instance?.inputs.map((input) => [input.name, input.type])).toEqual([
    ["latent", "Latent"],
    ["model", "str"],
  ]);
  expect(instance?.outputs).toEqual([{ name: "image", type: "Image" }]);
});

test("pasted nodes keep the wires among them; those from outside only when asked", () => {
  const clip = operations.copy(CHAIN, "", ["decode", "save"], {});
  const without = applied(CHAIN, operations.paste(CHAIN, "", clip, { x: 0, y: 0 }, false));
  expect(without.nodes.decode_2?.inputs).toEqual({});
  expect(without.nodes.save_2?.inputs).toEqual({ image: { from: "decode_2.image" } });
  const withWires = applied(CHAIN, operations.paste(CHAIN, "", clip, { x: 0, y: 0 }, true));
  expect(withWires.nodes.decode_2?.inputs).toEqual(CHAIN.nodes.decode?.inputs);
});

test("a wire is cut out of the middle of a growing input, and its neighbours move up", () => {
  const grid: WorkflowJson = {
    weft: 1,
    nodes: { g: { type: "grid", inputs: { images: [{ from: "a.x" }, { from: "b.x" }, { from: "c.x" }] } } },
  };
  const cut = applied(grid, operations.disconnect(grid, "", [{ node: "g", slot: "images/1" }]));
  expect([...wiresOf(cut)].map((wire) => [wire.slot, wire.from.node])).toEqual([
    ["images/0", "a"],
    ["images/1", "c"],
  ]);
});

test("a wire that would close a circle is seen before it is made", () => {
  expect(operations.wouldCircle(CHAIN, "", "save", "sample")).toBe(true);
  expect(operations.wouldCircle(CHAIN, "", "sample", "save")).toBe(false);
});

test("objects are wrapped as values, plain values are not, and both read back", () => {
  for (const value of [3, "x", true, null, [1, 2], { from: "not a link" }, [{ a: 1 }]]) {
    expect(literal(asSource(value))).toEqual(value);
  }
  expect(asSource({ from: "not a link" })).toEqual({ value: { from: "not a link" } });
});

test("what fits is the server's table for names, and says in words why not", () => {
  expect(fit("Latent", "Image", SPECS)).toEqual({ fit: "no", why: "the wire carries Latent, the socket takes Image" });
  expect(fit("Image", "Image?", SPECS).fit).toBe("fits");
  expect(fit("Image?", "Image", SPECS).fit).toBe("unknown");
  expect(fit({ name: "list", args: ["Image"] }, "Image", SPECS).fit).toBe("no");
  expect(fit("Latent", { name: "T", variable: true }, SPECS).fit).toBe("fits");
});

test("a growing input takes one or a list of them, and so does a map's, which keeps its widget", () => {
  const list = { name: "list", args: ["Image"] };
  const grows = socketType({ name: "images", type: "Image", gather: "list" });
  expect([fit("Image", grows, SPECS).fit, fit(list, grows, SPECS).fit, fit("Latent", grows, SPECS).fit]).toEqual(["fits", "fits", "no"]);
  const mapped: WorkflowJson = {
    weft: 1,
    nodes: { each: { type: "map", body: "#one", inputs: { model: "x" } } },
    graphs: { one: { nodes: { load: CHAIN.nodes.load as never }, parameters: { model: { to: ["load.model"] } }, outputs: { vae: "load.vae" } } },
  };
  const each = mapped.nodes.each && specOf(mapped.nodes.each, mapped, SPECS);
  expect(each?.inputs[0]).toMatchObject({ name: "model", type: "str", over: true });
  expect(each?.outputs).toEqual([{ name: "vae", type: { name: "list", args: ["VAE"] } }]);
});

test("a reroute carries the type that is wired into it", () => {
  const bent: WorkflowJson = { ...CHAIN, nodes: { ...CHAIN.nodes, bend: { type: "reroute", inputs: { value: { from: "sample.latent" } } } } };
  expect(typeFrom("bend.value", bent, bent, SPECS)).toBe("Latent");
});
