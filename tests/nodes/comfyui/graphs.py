"""Graphs as ComfyUI saves them, written by hand from its formats."""

from typing import Any


def api(**nodes: Any) -> dict[str, Any]:
    """The API's form: `n4=("KSampler", {...})`; a tuple among the inputs is a wire."""
    return {
        name.removeprefix("n"): {
            "class_type": kind,
            "inputs": {key: list(value) if isinstance(value, tuple) else value for key, value in inputs.items()},
        }
        for name, (kind, inputs) in nodes.items()
    }


def text_to_image(**more: Any) -> dict[str, Any]:
    return api(
        n4=("CheckpointLoaderSimple", {"ckpt_name": "tiny-sd1"}),
        n5=("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
        n6=("CLIPTextEncode", {"text": "a red cube", "clip": ("4", 1)}),
        n7=("CLIPTextEncode", {"text": "blurry", "clip": ("4", 1)}),
        n3=("KSampler", SAMPLING),
        n8=("VAEDecode", {"samples": ("3", 0), "vae": ("4", 2)}),
        n9=("SaveImage", {"filename_prefix": "ComfyUI", "images": ("8", 0)}),
        **more,
    )


SAMPLING = {
    "seed": 5,
    "steps": 2,
    "cfg": 4.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 1.0,
    "model": ("4", 0),
    "positive": ("6", 0),
    "negative": ("7", 0),
    "latent_image": ("5", 0),
}


class Editor:
    """The editor's form, put together node by node."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.links: list[list[Any]] = []

    def node(self, id: int, kind: str, values: Any = (), *, mode: int = 0, title: str = "", **wires: Any) -> int:
        """`wires` are inputs: (id, slot), or `name=None` for a widget that is listed among them."""
        inputs = []
        for slot, (name, source) in enumerate(wires.items()):
            row: dict[str, Any] = {"name": name, "type": "*", "link": None}
            if source is None:
                row["widget"] = {"name": name}
            else:
                link = len(self.links) + 1
                self.links.append([link, *source, id, slot, "*"])
                row["link"] = link
            inputs.append(row)
        record = {"id": id, "type": kind, "pos": [0, 0], "mode": mode, "inputs": inputs, "outputs": []}
        if values != ():
            record["widgets_values"] = values
        if title:
            record["title"] = title
        self.nodes.append(record)
        return id

    def record(self, **more: Any) -> dict[str, Any]:
        return {"last_node_id": 99, "version": 0.4, "nodes": self.nodes, "links": self.links, "groups": [], **more}
