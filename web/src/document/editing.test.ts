import { expect, test } from "vitest";
import type { NodeSpec, WorkflowJson } from "../protocol/types";
import { apply, chain, type Command } from "./commands";
import * as operations from "./operations";
import { index } from "./specs";
import { wiresOf } from "./wires";

const spec = (id: string, inputs: NodeSpec["inputs"], outputs: NodeSpec["outputs"]): NodeSpec => ({ id, title: id, help: "", inputs, outputs });
const T = { name: "T", variable: true };
const SPECS = index({
  nodes: [
    spec("load.model", [{ name: "model", type: "str", default: "a" }], [{ name: "vae", type: "VAE" }]),
    spec("sample", [{ name: "seed", type: "int", default: 0 }], [{ name: "latent", type: "Latent" }]),
    spec("vae.decode", [{ name: "vae", type: "VAE" }, { name: "latent", type: "Latent" }], [{ name: "image", type: "Image" }]),
    spec("vae.decode_tiled", [{ name: "vae", type: "VAE" }, { name: "latent", type: "Latent" }, { name: "tile", type: "int" }], [{ name: "image", type: "Image" }]),
    spec("vae.encode", [{ name: "vae", type: "VAE" }, { name: "image", type: "Image" }], [{ name: "latent", type: "Latent" }]),
    spec("blur", [{ name: "image", type: "Image" }, { name: "radius", type: "int", default: 2 }], [{ name: "image", type: "Image" }]),
    spec("sharpen", [{ name: "picture", type: "Image" }, { name: "radius", type: "int", default: 1 }], [{ name: "result", type: "Image" }]),
    spec("grid", [{ name: "images", type: "Image", gather: "list" }], [{ name: "image", type: "Image" }]),
    spec("save", [{ name: "image", type: "Image" }], [{ name: "image", type: "Image" }]),
    { ...spec("reroute", [{ name: "value", type: T }], [{ name: "value", type: T }]), flow: true },
  ],
  types: [],
  packs: [],
  connect: { Latent: { Latent: "fits", Image: "no" }, VAE: { VAE: "fits" }, Image: { Image: "fits", Latent: "no" } },
});
const CHAIN: WorkflowJson = {
  weft: 1,
  nodes: {
    load: { type: "load.model", inputs: {} },
    other: { type: "load.model", inputs: { model: "b" } },
    sample: { type: "sample", inputs: { seed: 7 } },
    decode: { type: "vae.decode", inputs: { vae: { from: "load.vae" }, latent: { from: "sample.latent" } } },
    save: { type: "save", inputs: { image: { from: "decode.image" } } },
  },
  parameters: { seed: { to: ["sample.seed"] } },
  outputs: { image: "save.image" },
  view: { nodes: { load: { x: 0, y: 0 }, sample: { x: 0, y: 200 }, decode: { x: 300, y: 100 }, save: { x: 600, y: 100 } } },
};
const done = (document: WorkflowJson, command: Command | null): WorkflowJson => {
  if (!command) throw new Error("no command");
  const { document: made, inverse } = apply(document, command);
  expect(JSON.stringify(apply(made, inverse).document)).toBe(JSON.stringify(document));
  return made;
};

test("what does not fit finds what converts it, that which needs least first", () => {
  expect(operations.converters("Latent", "Image", SPECS).map((found) => found.id)).toEqual(["vae.decode", "vae.decode_tiled"]);
  expect(operations.converters("Image", "Latent", SPECS).map((found) => found.id)).toEqual(["vae.encode"]);
  expect(operations.converters("VAE", "Image", SPECS)).toHaveLength(2);
  expect(operations.converters("Image", "VAE", SPECS)).toEqual([]);
});

test("a converter takes what else it needs from upstream of the wire, not from any node that has it", () => {
  const image: WorkflowJson = {
    ...CHAIN,
    nodes: { ...CHAIN.nodes, encode: { type: "vae.encode", inputs: { vae: { from: "other.vae" }, image: { from: "decode.image" } } }, end: { type: "save", inputs: {} } },
  };
  const made = done(image, operations.splice(image, SPECS, "", { node: "encode", output: "latent" }, { node: "end", slot: "image" }, "vae.decode"));
  expect(made.nodes.decode_2?.inputs).toEqual({ latent: { from: "encode.latent" }, vae: { from: "other.vae" } });
  expect(made.nodes.end?.inputs.image).toEqual({ from: "decode_2.image" });
});

test("a splice into one wire of a growing input leaves the others", () => {
  const grid: WorkflowJson = { ...CHAIN, nodes: { ...CHAIN.nodes, grid: { type: "grid", inputs: { images: [{ from: "decode.image" }, { from: "save.image" }] } } } };
  const made = done(grid, operations.splice(grid, SPECS, "", { node: "decode", output: "image" }, { node: "grid", slot: "images/0" }, "blur"));
  expect(made.nodes.grid?.inputs.images).toEqual([{ from: "blur.image" }, { from: "save.image" }]);
  const bent = done(grid, operations.splice(grid, SPECS, "", { node: "decode", output: "image" }, { node: "save", slot: "image" }, "reroute"));
  expect(bent.nodes.reroute?.inputs.value).toEqual({ from: "decode.image" });
  expect(bent.nodes.save?.inputs.image).toEqual({ from: "reroute.value" });
});

test("a node dragged on a wire goes into it, but not where that closes a circle or breaks its own wire", () => {
  const free: WorkflowJson = { ...CHAIN, nodes: { ...CHAIN.nodes, blur: { type: "blur", inputs: {} } } };
  const into = (document: WorkflowJson, name: string) =>
    operations.spliceNode(document, SPECS, "", name, { node: "decode", output: "image" }, { node: "save", slot: "image" });
  const made = done(free, into(free, "blur"));
  expect(made.nodes.blur?.inputs.image).toEqual({ from: "decode.image" });
  expect(made.nodes.save?.inputs.image).toEqual({ from: "blur.image" });
  expect(into(made, "blur")).toBeNull();
  expect(into(free, "load")).toBeNull();
  const circle: WorkflowJson = { ...free, nodes: { ...free.nodes, sample: { type: "vae.encode", inputs: { image: { from: "blur.image" } } } } };
  expect(into(circle, "blur")).toBeNull();
});

test("a node is replaced by another: wires go by name, then by type, values where both have them", () => {
  const before: WorkflowJson = {
    ...CHAIN,
    nodes: { ...CHAIN.nodes, blur: { type: "blur", title: "Soft", inputs: { image: { from: "decode.image" }, radius: 9 } }, save: { type: "save", inputs: { image: { from: "blur.image" } } } },
  };
  const made = operations.replaceNode(before, SPECS, "", "blur", SPECS.byId.get("sharpen") as NodeSpec);
  expect(made).toMatchObject({ kept: 2, wires: 2 });
  const after = done(before, made?.command ?? null);
  expect(after.nodes.blur).toEqual({ type: "sharpen", version: 1, title: "Soft", inputs: { picture: { from: "decode.image" }, radius: 9 } });
  expect(after.nodes.save?.inputs.image).toEqual({ from: "blur.result" });
  const lost = operations.replaceNode(before, SPECS, "", "blur", SPECS.byId.get("vae.decode") as NodeSpec);
  expect(lost).toMatchObject({ kept: 1, wires: 2 });
});

test("a node that no pack here has is replaced by name, its values and wires kept", () => {
  const before: WorkflowJson = {
    ...CHAIN,
    nodes: { ...CHAIN.nodes, gone: { type: "old/blur", inputs: { image: { from: "decode.image" }, radius: 5, lost: 1 } }, save: { type: "save", inputs: { image: { from: "gone.picture" } } } },
  };
  const made = operations.replaceNode(before, SPECS, "", "gone", SPECS.byId.get("blur") as NodeSpec);
  const after = done(before, made?.command ?? null);
  expect(made).toMatchObject({ kept: 2, wires: 2 });
  expect(after.nodes.gone).toEqual({ type: "blur", version: 1, inputs: { image: { from: "decode.image" }, radius: 5 } });
  expect(after.nodes.save?.inputs.image).toEqual({ from: "gone.image" });
});

test("a sub-graph unpacked is what it was made of", () => {
  const grouped = done(CHAIN, operations.group(CHAIN, "", ["sample", "decode"], CHAIN.view?.nodes ?? {}));
  const instance = Object.keys(grouped.nodes).find((name) => grouped.nodes[name]?.type.startsWith("#")) ?? "";
  const again = done(grouped, operations.ungroup(grouped, "", instance));
  const wires = (document: WorkflowJson) => [...wiresOf(document)].map((wire) => `${wire.from.node}.${wire.from.output} ${wire.node}|${wire.slot}`).sort();
  expect(wires(again)).toEqual(wires(CHAIN));
  expect(again.nodes.sample?.inputs.seed).toBe(7);
  expect(again.parameters).toEqual(CHAIN.parameters);
  expect(again.outputs).toEqual(CHAIN.outputs);
  expect(again.graphs).toEqual({});
  expect(Object.keys(again.view?.nodes ?? {}).filter((key) => key.startsWith("#"))).toEqual([]);
  expect(again.view?.nodes?.decode).toEqual(CHAIN.view?.nodes?.decode);
});

test("a value set on the instance wins when it is unpacked, and a graph that is used elsewhere stays", () => {
  const inner: WorkflowJson = {
    weft: 1,
    nodes: { a: { type: "#draw", inputs: { seed: 3 } }, b: { type: "#draw", inputs: {} }, sample: { type: "sample", inputs: {} } },
    graphs: { draw: { nodes: { sample: { type: "sample", inputs: { seed: 1 } } }, parameters: { seed: { to: ["sample.seed"], default: 2 } }, outputs: { latent: "sample.latent" } } },
    view: { frames: { "#draw/frame": { x: 0, y: 0, w: 100, h: 100, title: "inside" } } },
  };
  const one = done(inner, operations.ungroup(inner, "", "a"));
  expect(one.nodes.sample_2?.inputs.seed).toBe(3);
  expect(one.graphs?.draw).toBeDefined();
  expect(one.view?.frames?.frame?.title).toBe("inside");
  const both = done(one, operations.ungroup(one, "", "b"));
  expect(both.nodes.sample_3?.inputs.seed).toBe(2);
  expect(both.graphs?.draw).toBeUndefined();
  expect(Object.keys(both.view?.frames ?? {})).toEqual(["frame", "frame_2"]);
});

test("a renamed sub-graph keeps its instances and its places", () => {
  const grouped = done(CHAIN, operations.group(CHAIN, "", ["sample", "decode"], CHAIN.view?.nodes ?? {}));
  const named = done(grouped, operations.renameGraph(grouped, "group", "draw it"));
  expect(Object.keys(named.graphs ?? {})).toEqual(["draw it"]);
  expect(Object.values(named.nodes).map((node) => node.type)).toContain("#draw it");
  expect(named.view?.nodes?.["#draw it/decode"]).toEqual({ x: 300, y: 100 });
  expect(operations.renameGraph(named, "draw it", " ")).toBeNull();
});

test("copied instances bring their sub-graphs into another document, under a free name when that one is other", () => {
  const grouped = done(CHAIN, operations.group(CHAIN, "", ["sample", "decode"], CHAIN.view?.nodes ?? {}));
  const clip = operations.copy(grouped, "", ["group"], {});
  expect(operations.parseClip(JSON.stringify(clip))).toEqual(clip);
  const empty = operations.EMPTY;
  const there = done(empty, operations.paste(empty, "", clip, { x: 0, y: 0 }, false));
  expect(there.graphs?.group).toEqual(grouped.graphs?.group);
  const clash: WorkflowJson = { ...empty, graphs: { group: { nodes: {} } } };
  const renamed = done(clash, operations.paste(clash, "", clip, { x: 0, y: 0 }, false));
  expect(renamed.nodes.group?.type).toBe("#group_2");
  const same = done(grouped, operations.paste(grouped, "", clip, { x: 0, y: 0 }, false));
  expect(Object.keys(same.graphs ?? {})).toEqual(["group"]);
});

test("only a sound clip is pasted", () => {
  for (const text of ["", "null", "[]", "7", '{"weft":"clip"}', '{"weft":"clip","nodes":{"a":{}},"spots":{}}', '{"weft":1,"nodes":{}}', "{"]) {
    expect(operations.parseClip(text)).toBeNull();
  }
});

test("frames, notes and stubs belong to the graph they stand in, and go with the nodes they name", () => {
  let held = done(CHAIN, operations.addFrame(CHAIN, "", { x: 0.4, y: 0, w: 10, h: 10, title: "A" }));
  held = done(held, operations.addFrame(held, "", { x: 5, y: 5, w: 10, h: 10, title: "B" }));
  held = done(held, operations.addNote(held, "inner", { x: 5, y: 5, w: 10, h: 10, text: "in" }));
  expect(operations.thingsIn(held.view, "frames", "").map(([name]) => name)).toEqual(["frame", "frame_2"]);
  expect(operations.thingsIn(held.view, "notes", "")).toEqual([]);
  expect(operations.thingsIn(held.view, "notes", "inner")[0]?.[1].text).toBe("in");
  held = done(held, operations.moveAll(held, "", { nodes: { save: { x: 1, y: 2 } }, frames: { frame: { x: 9, y: 9 } } }));
  expect([held.view?.nodes?.save, held.view?.frames?.frame?.x]).toEqual([{ x: 1, y: 2 }, 9]);
  held = done(held, operations.stub(held, "", ["decode|vae", "save|image"]));
  held = done(held, operations.rename(held, "", "decode", "draw"));
  expect(Object.keys(held.view?.stubs ?? {}).sort()).toEqual(["draw|vae", "save|image"]);
  held = done(held, operations.removeNodes(held, "", ["draw"]));
  expect(Object.keys(held.view?.stubs ?? {})).toEqual(["save|image"]);
});

test("commands in a chain see what those before them did", () => {
  const command = chain(
    CHAIN,
    "both",
    (held) => operations.disconnect(held, "", [{ node: "decode", slot: "vae" }]),
    (held) => operations.removeNodes(held, "", ["sample"]),
  );
  const made = done(CHAIN, command);
  expect(made.nodes.decode?.inputs).toEqual({});
});
