"""Offload: weights that wait on the host give the same bits; sizes come from headers; replaced files are noticed."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from engine import cli
from engine.errors import WeftError
from engine.memory import Footprint, Memory, choose, module_bytes
from engine.numerics import Numerics
from engine.records import Records
from engine.session import Session
from nodes.families import vae_recipe
from nodes.families.files import component
from nodes.families.offload import footprint, stream, where
from nodes.load import model
from nodes.types import Weights
from tests.nodes.conftest import clip_tokenizer
from tests.nodes.families.test_in_the_engine import flow

GB = 2**30
ROOT = Path(__file__).resolve().parents[3]


def unet_forward(module, width=32):
    device, dtype = where(module)
    x = torch.linspace(-1, 1, 4 * 8 * 8).reshape(1, 4, 8, 8).to(device, dtype)
    text = torch.linspace(-1, 1, 8 * width).reshape(1, 8, width).to(device, dtype)
    with torch.no_grad():
        return module(x, torch.tensor([500]), encoder_hidden_states=text, return_dict=False)[0]


@pytest.mark.parametrize("way", ["blocks", "layers"])
def test_weights_that_come_in_parts_give_the_same_bits_and_leave_no_trace(home, tiny_sd1, way):
    bare = model("tiny-sd1").model.build("cpu", "float32")
    module = model("tiny-sd1").model.build("cpu", "float32")
    expected = unet_forward(bare)
    undo = stream(module, "cpu", way)
    assert torch.equal(unet_forward(module), expected)
    undo()
    assert torch.equal(unet_forward(module), expected)
    hooked = [one for one in module.modules() if getattr(one, "_diffusers_hook", None) and one._diffusers_hook.hooks]
    assert hooked == [] and not hasattr(module, "runs_on")
    assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), module.parameters(), strict=True))


def test_text_encoders_come_in_layers(home, tiny_sdxl):
    recipe = model("tiny-sdxl").text_encoder
    encoders = recipe.build("cpu", "float32")
    ids = torch.tensor([[1, 2, 3]])
    expected = encoders["text_encoder"](ids, output_hidden_states=True).hidden_states[-2]
    undo = stream(encoders, "cpu", "blocks")
    assert torch.equal(encoders["text_encoder"](ids, output_hidden_states=True).hidden_states[-2], expected)
    undo()


@pytest.mark.parametrize("name", ["tiny-sd1", "tiny-sdxl", "tiny-flux"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_size_known_from_headers_is_that_of_the_module(home, tiny_sd1, tiny_sdxl, tiny_flux, name, dtype):
    parts = model(name)
    for recipe in (parts.model, parts.text_encoder, parts.vae):
        found = recipe.footprint(dtype)
        module = recipe.build("cpu", dtype)
        tables = sum(buffer.numel() * buffer.element_size() for buffer in module.buffers())
        assert abs(found.whole - (module_bytes(module) - tables)) <= 0.02 * found.whole
        assert 0 < found.layers <= found.whole
        assert found.blocks <= found.whole


def test_a_picture_with_weights_in_parts_is_the_same_picture(home, tiny_sdxl):
    """The lease decides; the node, the checkpoints and the picture do not notice."""

    class Parts(Memory):
        def _way(self, device, footprint, working, own, recipe):
            return "blocks" if hasattr(recipe, "stream") else "whole"

    pictures = []
    for memory in (Memory(), Parts()):
        session = Session(places=home, memory=memory, records=Records(), numerics=Numerics("cpu", threads=1))
        try:
            pictures.append(session.run(flow("tiny-sdxl")).outputs["image"].pixels)
            ways = {held.way for held in memory._modules.values()}
        finally:
            session.close()
    assert torch.equal(*pictures) and ways == {"whole", "blocks"}


# --- Stable Diffusion XL on eight gigabytes ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    """SDXL's real shapes as headers alone: files without a byte of weights behind them."""
    from accelerate import init_empty_weights
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    import nodes.families

    configs = Path(nodes.families.__file__).parent / "configs" / "sdxl"
    folder = tmp_path_factory.mktemp("sdxl")

    def text(cls):
        return lambda config: cls(CLIPTextConfig(**config))

    # CLIP-L and CLIP-G, as their makers published them.
    clips = {
        "text_encoder": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12},
        "text_encoder_2": {
            **{"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32},
            **{"num_attention_heads": 20, "projection_dim": 1280},
        },
    }

    made = {
        "unet": UNet2DConditionModel.from_config,
        "vae": AutoencoderKL.from_config,
        "text_encoder": text(CLIPTextModel),
        "text_encoder_2": text(CLIPTextModelWithProjection),
    }
    for name, make in made.items():
        config = clips.get(name) or json.loads((configs / name / "config.json").read_text())
        with init_empty_weights():
            module = make(config)
        table, place = {}, 0
        for key, tensor in module.state_dict().items():
            size = tensor.numel() * 2
            table[key] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [place, place + size]}
            place += size
        header = json.dumps(table).encode()
        (folder / name).mkdir()
        told = config if "_class_name" in config else CLIPTextConfig(**config).to_dict()
        (folder / name / "config.json").write_text(json.dumps(told))
        with (folder / name / "model.safetensors").open("wb") as stream:
            stream.write(len(header).to_bytes(8, "little") + header)
            stream.truncate(8 + len(header) + place)  # a hole: it takes no room on the disk
    return folder


def test_sdxl_fits_on_eight_gigabytes_at_1024(sdxl):
    """Text encoders leave for the UNet, the UNet for the VAE; each stands whole, and at twice the size in blocks."""
    from nodes.families import FAMILIES
    from nodes.vae import _working

    def weights(name):
        return Weights("", name, str(sdxl / name))

    unet = footprint([weights("unet")], "float16")
    text = footprint([weights("text_encoder"), weights("text_encoder_2")], "float16", blocks=False)
    vae = footprint([weights("vae")], "float32", blocks=False)
    assert 4.7 * GB < unet.whole < 4.9 * GB and 1.5 * GB < text.whole < 1.6 * GB
    assert unet.blocks < 0.4 * unet.whole and unet.layers < 0.05 * unet.whole
    limit = int(8 * GB * 0.9)
    family = next(one for one in FAMILIES if one.name == "sdxl")

    class Recipe:
        config = (("block_out_channels", (320, 640, 1280)),)

    def denoise(side):
        return family.working_bytes(Recipe, 2, side // 8, side // 8, 2)

    recipe = vae_recipe(component(sdxl / "vae"))
    assert choose(text, 2**26, limit) == "whole"
    assert choose(unet, denoise(1024), limit) == "whole"
    assert choose(unet, denoise(2048), limit) == "blocks"
    assert choose(unet, denoise(1024), int(4 * GB * 0.9)) == "blocks"
    assert choose(unet, denoise(1024), int(2 * GB * 0.9)) == "layers"
    assert vae.whole + _working(recipe, (1, 3, 1024, 1024)) < limit
    assert text.whole + unet.whole + vae.whole + denoise(1024) > 0.9 * limit  # not all at once with room to spare


def test_a_gpu_budget_of_eight_gigabytes_is_kept_by_the_whole_of_sdxl(sdxl):
    """The real leases on a fake device: what is live there, activations counted, never goes past the limit."""
    from tests.engine.fakes import FakeDevice

    limit = int(8 * GB * 0.9)
    memory = Memory({"gpu": limit, "cpu": 16 * GB}, {"gpu": FakeDevice(8 * GB, "gpu")})

    class Live:
        def __init__(self, size):
            self.size = size

        def to(self, device):
            return self

    class Recipe:
        adapters = ()

        def __init__(self, names, blocks=True, dtype="float16"):
            self.weights, self.names, self.blocks, self.dtype = "+".join(names), names, blocks, dtype

        def footprint(self, dtype):
            return footprint([Weights("", n, str(sdxl / n)) for n in self.names], self.dtype, self.blocks)

        def build(self, device, dtype):
            module = torch.nn.Module()
            size = self.footprint(dtype).whole
            module.weight = torch.nn.Parameter(torch.empty(size, dtype=torch.uint8, device="meta"), False)
            module.to = lambda device: module
            return module

        def attach(self, module):
            return lambda: None

        def stream(self, module, device, way):
            return lambda: None

    text, unet = Recipe(["text_encoder", "text_encoder_2"], blocks=False), Recipe(["unet"])
    vae = Recipe(["vae"], blocks=False, dtype="float32")
    for working in (200 * 2**20, 1700 * 2**20):
        for recipe, need in ((text, 2**26), (unet, working), (vae, 6 * GB)):
            with memory.lease(recipe, "gpu", "float16", working_bytes=need):
                assert memory.budget("gpu").used <= limit
    assert memory.budget("gpu").peak <= limit
    assert memory.budget("cpu").used > 4 * GB  # the UNet waits on the host; nothing is read twice


def test_the_plan_says_how_sdxl_comes_and_its_peak_on_eight_gigabytes(sdxl, tmp_path, capsys):
    """`weft memory` over the workflow that everybody begins with, on a card that is not here."""
    folder = tmp_path / "models" / "checkpoints" / "xl"
    folder.mkdir(parents=True)
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        (folder / name).symlink_to(sdxl / name)
    for name in ("tokenizer", "tokenizer_2"):
        clip_tokenizer().save_pretrained(folder / name)
    parts = {name: ["diffusers", "X"] for name in ("unet", "vae", "text_encoder", "text_encoder_2")}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline", **parts}))
    record = json.loads((ROOT / "workflows" / "text_to_image.json").read_text())
    del record["parameters"]
    record["nodes"]["load"]["inputs"]["model"] = "xl"
    record["nodes"]["canvas"]["inputs"] |= {"width": 1024, "height": 1024}
    work = tmp_path / "xl.json"
    work.write_text(json.dumps(record))
    steps = {}
    for budget in (8192, 4096, 2048):
        done = cli.main(["memory", str(work), "--models", str(tmp_path / "models"), "--budget", str(budget), "--json"])
        told = json.loads(capsys.readouterr().out)
        assert done == 0
        steps[budget] = {row["path"]: row for row in told["steps"]}
        assert told["most"] == max(row["on_device"] for row in told["steps"])
    ways = {budget: {path: row["way"] for path, row in rows.items()} for budget, rows in steps.items()}
    assert set(ways[8192].values()) == {"whole"}
    assert ways[4096]["sample"] == "blocks" and ways[2048]["sample"] == "layers"
    assert all(row["fits"] for row in steps[8192].values())
    assert steps[8192]["sample"]["weights"] > 4.7 * GB
    assert max(row["on_device"] for row in steps[8192].values()) <= 8 * GB


# --- files that change ------------------------------------------------------------------------------------------------


def test_a_file_replaced_under_the_same_name_is_noticed(home, tiny_sd1, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = home.home / "models" / "checkpoints" / "changing"
    shutil.copytree(tiny_sd1, folder)
    with Session(places=home, memory=Memory(), records=Records(), numerics=Numerics("cpu", threads=1)) as session:
        work = flow("changing")
        first = session.run(work)
        before = model("changing")
        file = next((folder / "unet").glob("*.safetensors"))
        state = {name: tensor * 1.5 for name, tensor in load_file(file).items()}
        save_file(state, tmp_path / "new.safetensors")
        shutil.move(tmp_path / "new.safetensors", file)
        second = session.run(work)
        assert {"sample", "decode"} <= set(second.ran) and "red" not in second.ran
        assert not torch.equal(first["image"].pixels, second["image"].pixels)
    with pytest.raises(WeftError) as wrong:
        before.model.build("cpu", "float32")
    assert wrong.value.code == "model.changed" and "run the workflow again" in str(wrong.value)


def test_weights_in_the_files_own_dtype_stay_mapped(home, tiny_sd1):
    """No copy: what the module holds is the file itself."""
    module = model("tiny-sd1").model.build("cpu", "float32")
    assert module.mapped_files and all(Path(file).suffix == ".safetensors" for file, _ in module.mapped_files)
    places = sorted(tensor.data_ptr() for tensor in module.parameters())
    assert places[-1] - places[0] < Path(module.mapped_files[0][0]).stat().st_size


def test_recipes_of_the_same_weights_share_one_module(home, tiny_sd1):
    from nodes.types import Lora

    base = model("tiny-sd1").model
    assert base.with_adapter(Lora(Weights("l", "lora", "nowhere")), 0.0).weights == base.weights
    assert Footprint(1).plus(Footprint(2)).whole == 3
