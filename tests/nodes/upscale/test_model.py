import json
import sys
import types

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from engine import places
from engine.errors import Cancelled, WeftError
from engine.invoke import EngineRun, Hooks, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from nodes.types import Image
from nodes.upscale import networks
from nodes.upscale.files import rename
from nodes.upscale.model import facts, load_upscaler, upscale


@pytest.fixture(autouse=True)
def folder(tmp_path):
    run = EngineRun("", Memory({"cpu": 2**30}), Numerics(device="cpu"))
    base = tmp_path / "models" / "upscale_models"
    base.mkdir(parents=True)
    with places.using(places.Places(home=tmp_path)), using_ambient(run):
        yield base


def small(doublings=2, shuffle=1, blocks=2):
    torch.manual_seed(4)
    return networks.rrdb(8, 4, blocks, doublings, shuffle)


def put(folder, state, name="net.safetensors"):
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / name)
    return load_upscaler(name)


def picture(height=20, width=28, batch=1):
    return Image(torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(1)))


def direct(network, image):
    with torch.no_grad():
        return network.eval()(image.pixels.movedim(-1, 1).contiguous()).clamp(0, 1).movedim(1, -1)


def oldest(state):
    """The names of 2018: one long Sequential."""
    found = {}
    ups = sorted({key.split(".")[0] for key in state if key.startswith("conv_up")})
    blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("body."))
    last = 3 * len(ups) + 2
    tops = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}"}
    tops |= {up: f"model.{3 * (index + 1)}" for index, up in enumerate(ups)}
    tops |= {"conv_hr": f"model.{last}", "conv_last": f"model.{last + 2}"}
    for key, value in state.items():
        head, _, tail = key.partition(".")
        if head == "body":
            block, rdb, conv, kind = tail.split(".")
            found[f"model.1.sub.{block}.RDB{rdb[-1]}.{conv}.0.{kind}"] = value
        else:
            found[f"{tops[head]}.{tail}"] = value
    return found


def older(state):
    """The names of 2019."""
    heads = {"conv_body": "trunk_conv", "conv_hr": "HRconv", "conv_up1": "upconv1", "conv_up2": "upconv2"}
    found = {}
    for key, value in state.items():
        head, _, tail = key.partition(".")
        if head == "body":
            found["RRDB_trunk." + tail.replace("rdb", "RDB")] = value
        else:
            found[f"{heads.get(head, head)}.{tail}"] = value
    return found


@pytest.mark.parametrize(
    ("doublings", "shuffle", "scale"), [(0, 1, 1), (1, 1, 2), (2, 1, 4), (3, 1, 8), (2, 2, 2), (2, 4, 1)]
)
def test_the_scale_is_read_from_the_header_and_is_what_comes_out(folder, doublings, shuffle, scale):
    network = small(doublings, shuffle)
    loaded = put(folder, network.state_dict())
    assert loaded.scale == scale
    made = upscale(loaded, picture(21, 27), tile=0)
    assert made.pixels.shape == (1, 21 * scale, 27 * scale, 3)
    assert torch.equal(made.pixels, direct(network, picture(21, 27)))


@pytest.mark.parametrize("layout", [oldest, older])
@pytest.mark.parametrize("doublings", [1, 2])
def test_older_names_are_the_same_network(folder, layout, doublings):
    state = small(doublings).state_dict()
    before, after = put(folder, state, "new.safetensors"), put(folder, layout(state), "old.safetensors")
    assert before.config == after.config
    assert set(layout(state)).isdisjoint(
        set(state) - {f"conv_{x}.{y}" for x in ("first", "last") for y in ("weight", "bias")}
    )
    assert torch.equal(upscale(before, picture()).pixels, upscale(after, picture()).pixels)


@pytest.mark.parametrize("start", ["params.", "params_ema.", "module."])
def test_what_a_training_script_put_around_the_weights_is_taken_off(folder, start):
    network = small()
    state = network.state_dict()
    wrapped = {start + key: value for key, value in state.items()}
    if start == "params_ema.":  # the averaged weights are the ones to use
        wrapped |= {"params." + key: torch.zeros_like(value) for key, value in state.items()}
    assert torch.equal(upscale(put(folder, wrapped), picture()).pixels, direct(network, picture()))


def test_a_dense_block_is_the_papers_formula():
    torch.manual_seed(2)
    block = networks.rrdb(6, 3, 1, 1, 1).body[0]
    x, seen = torch.randn(1, 6, 7, 7), None
    with torch.no_grad():
        made = block(x)
        out = x
        for dense in (block.rdb1, block.rdb2, block.rdb3):
            seen = [out]
            for conv in (dense.conv1, dense.conv2, dense.conv3, dense.conv4):
                seen.append(F.leaky_relu(conv(torch.cat(seen, 1)), 0.2))
            out = out + 0.2 * dense.conv5(torch.cat(seen, 1))
    assert torch.allclose(made, x + 0.2 * out, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_compact_network_adds_its_detail_to_an_enlargement(folder, scale):
    torch.manual_seed(3)
    network = networks.compact(8, 2, scale)
    loaded = put(folder, network.state_dict())
    assert (loaded.architecture, loaded.scale) == ("compact", scale)
    assert torch.equal(upscale(loaded, picture()).pixels, direct(network, picture()))
    for weight in network.body[-1].parameters():
        torch.nn.init.zeros_(weight)
    plain = put(folder, network.state_dict(), "zero.safetensors")
    nearest = picture().pixels.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    assert torch.equal(upscale(plain, picture()).pixels, nearest)


def test_tiles_give_what_the_whole_gives_for_a_network_that_looks_less_far_than_they_share(folder):
    loaded = put(folder, networks.compact(8, 1, 2).state_dict())  # looks 4 pixels around
    image = picture(60, 90)
    whole = upscale(loaded, image, tile=0).pixels
    assert (upscale(loaded, image, tile=32, overlap=16).pixels - whole).abs().max() < 1e-5
    assert (upscale(loaded, image, tile=32, overlap=1).pixels - whole).abs().max() > 1e-4


def test_pictures_of_a_batch_go_through_one_by_one(folder):
    loaded = put(folder, small().state_dict())
    both = upscale(loaded, picture(batch=2)).pixels
    alone = upscale(loaded, Image(picture(batch=2).pixels[1:])).pixels
    assert torch.equal(both[1:], alone)


@pytest.mark.parametrize(("factor", "size"), [(2.0, (40, 56)), (6.0, (120, 168)), (0.5, (10, 14))])
def test_the_result_may_be_brought_to_another_size_which_the_plan_knows(folder, factor, size):
    loaded = put(folder, small().state_dict())
    made = upscale(loaded, picture(), factor)
    assert made.pixels.shape[1:3] == size
    known = facts(image=picture(), upscaler=loaded, factor=factor)["image"]
    assert (known["height"], known["width"]) == size
    assert facts(image=picture(), upscaler=loaded, factor=0.0)["image"]["width"] == 28 * 4


def test_every_tile_is_told_and_a_cancelled_upscale_ends_at_the_next(folder):
    loaded, told = put(folder, small().state_dict()), []
    hooks = Hooks(progress=lambda done, total, text: told.append((done, total)), cancelled=lambda: len(told) > 2)
    run = EngineRun("", Memory({"cpu": 2**30}), Numerics(device="cpu"), hooks)
    with using_ambient(run), pytest.raises(Cancelled):
        upscale(loaded, picture(64, 64), tile=32, overlap=8)
    assert told == [(0, 9), (1, 9), (2, 9)]


def test_swin2sr_is_read_from_its_folder(folder):
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

    torch.manual_seed(6)
    config = Swin2SRConfig(
        image_size=16,
        patch_size=1,
        embed_dim=8,
        depths=[2],
        num_heads=[2],
        window_size=4,
        upscale=2,
        upsampler="pixelshuffledirect",
    )
    network = Swin2SRForImageSuperResolution(config).eval()
    network.save_pretrained(folder / "swin")
    loaded = load_upscaler("swin")
    assert (loaded.architecture, loaded.scale) == ("swin2sr", 2)
    image = picture(16, 24)
    made = upscale(loaded, image, tile=0)
    with torch.no_grad():
        expected = (
            network(pixel_values=image.pixels.movedim(-1, 1).contiguous()).reconstruction.clamp(0, 1).movedim(1, -1)
        )
    assert torch.equal(made.pixels, expected)


def test_another_folder_a_pickle_and_another_file_are_refused_with_the_way_out(folder):
    (folder / "bert").mkdir()
    (folder / "bert" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(WeftError, match="bert is a bert, no upscaler"):
        load_upscaler("bert")
    (folder / "old.pth").write_bytes(b"x")
    with pytest.raises(WeftError, match="could run any program when opened") as caught:
        load_upscaler("old.pth")
    assert "weft models convert old.pth" in caught.value.problem.mend.text
    with pytest.raises(WeftError, match="first tensor is 'lora_up'") as caught:
        put(folder, {"lora_up": torch.zeros(2, 2)})
    assert caught.value.code == "model.family"
    with pytest.raises(WeftError, match="not one for RGB pictures: it takes 1 channels"):
        state = small().state_dict()
        put(folder, {**state, "conv_first.weight": state["conv_first.weight"][:, :1]})


def test_a_file_that_lacks_tensors_is_refused_before_it_runs_wrong(folder):
    state = small().state_dict()
    del state["body.1.rdb2.conv3.bias"]
    with pytest.raises(WeftError, match="is incomplete"):
        upscale(put(folder, state), picture())


def test_names_of_today_stay_as_they_are():
    assert all(rename(key) == key for key in small().state_dict())


def test_what_weft_does_not_know_goes_to_spandrel_where_that_is_installed(folder, monkeypatch):
    class Descriptor:
        scale = 2
        model = torch.nn.Conv2d(1, 1, 1)

        def to(self, **_):
            return self

        def eval(self):
            return self

        def __call__(self, x):
            return F.interpolate(x, scale_factor=2, mode="nearest")

    class ModelLoader:
        def __init__(self, device):
            pass

        def load_from_state_dict(self, state):
            assert set(state) == {"relay"}
            return Descriptor()

    fake = types.ModuleType("spandrel")
    fake.ModelLoader, fake.ImageModelDescriptor = ModelLoader, Descriptor
    fake.__spec__ = types.SimpleNamespace(name="spandrel")
    monkeypatch.setitem(sys.modules, "spandrel", fake)
    loaded = put(folder, {"relay": torch.zeros(2)})
    assert (loaded.architecture, loaded.scale) == ("spandrel", 0)
    assert upscale(loaded, picture()).pixels.shape == (1, 40, 56, 3)
