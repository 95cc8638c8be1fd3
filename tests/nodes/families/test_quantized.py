"""Weights made smaller as they are loaded: by each package that is installed; a clear error for those that are not."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import WeftError
from engine.keys import canonical
from engine.memory import Memory, module_bytes
from nodes import load, lora, numerics
from nodes.families import quantized
from nodes.families.lora_file import read_lora
from nodes.families.offload import where
from tests.nodes.families.test_adapters import forward, make_lora
from tests.nodes.test_single_file import told

ROOT = Path(__file__).resolve().parents[3]


def there(method):
    how = quantized.METHODS[method]
    return find_spec(how.module.partition(".")[0]) is not None and find_spec(how.module) is not None


HERE = [method for method in quantized.METHODS if there(method)]
ABSENT = [method for method in quantized.METHODS if not there(method)]
each = pytest.mark.parametrize("method", HERE or [pytest.param("", marks=pytest.mark.skip("none is installed"))])
# How far a forward may be from the plain one, as a share of its own size.
OFF = {
    "bnb-int8": 0.05,
    "bnb-nf4": 0.3,
    "bnb-fp4": 0.4,
    "torchao-int8": 0.05,
    "torchao-float8": 0.15,
    "quanto-int8": 0.05,
}


@pytest.fixture
def unet(home, tiny_sd1):
    return load.model("tiny-sd1").model


@each
def test_matrices_in_blocks_are_made_smaller_and_the_picture_is_nearly_the_same(unet, method):
    plain = forward(unet.build("cpu", "float32"))
    recipe = numerics.quantize(unet, method)
    module = recipe.build("cpu", "float32")
    found = forward(module)
    assert found.dtype == torch.float32 and where(module) == (torch.device("cpu"), torch.float32)
    assert 0 < (found - plain).norm() <= OFF[method] * plain.norm()
    assert torch.equal(forward(recipe.build("cpu", "float32")), found), "the same every time"
    changed = [n for n, p in unet.build("cpu", "float32").named_parameters() if quantized.held(n, tuple(p.shape))]
    assert len(changed) > 20


@each
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_size_known_before_it_is_loaded_is_that_of_the_module(unet, method, dtype):
    recipe = numerics.quantize(unet, method)
    known, module = recipe.footprint(dtype), recipe.build("cpu", dtype)
    real = module_bytes(module)
    assert abs(known.whole - real) <= 0.05 * real
    assert known.whole < unet.footprint(dtype).whole
    assert known.on_device("blocks") == known.on_device("layers") == known.whole


@each
def test_a_lora_acts_on_quantized_weights_and_leaves_no_trace(unet, tmp_path, method):
    file = read_lora(make_lora(tmp_path / "a", unet.build("cpu", "float32"), 1))
    recipe = numerics.quantize(unet, method)
    module = recipe.build("cpu", "float32")
    before = forward(module)
    undo = recipe.with_adapter(file, 0.7).attach(module)
    during = forward(module)
    undo()
    assert torch.equal(forward(module), before) and not torch.equal(during, before)
    plain = unet.build("cpu", "float32")
    bare = forward(plain)
    unet.with_adapter(file, 0.7).attach(plain)
    step, wanted = during - before, forward(plain) - bare
    assert (step - wanted).norm() < 0.5 * wanted.norm(), "what it adds is what it adds to the plain model"


@each
def test_it_is_a_model_of_its_own_beside_the_plain_one_and_may_be_given_up(unet, method):
    recipe = numerics.quantize(unet, method)
    memory, found = Memory({"cpu": 2**24}), []
    for _ in range(2):
        with memory.lease(recipe, "cpu", "float32") as one, memory.lease(unet, "cpu", "float32") as other:
            assert one is not other
            found.append(forward(one))
        memory.free_everything("cpu")
    assert torch.equal(*found)


@each
def test_the_packages_version_is_part_of_the_key(unet, method):
    recipe = numerics.quantize(unet, method)
    assert recipe.patches[0].version and recipe.patches[0].version in canonical(recipe)
    assert recipe.weights not in (unet.weights, numerics.precision(unet, storage="float8_e4m3fn").weights)


@each
def test_what_cannot_go_together_is_refused_while_planning(unet, tmp_path, method):
    small = numerics.quantize(unet, method)
    assert "quantized already" in told(numerics.precision, small, storage="float8_e4m3fn")
    assert "float8 already" in told(numerics.quantize, numerics.precision(unet, storage="float8_e4m3fn"), method)
    layer = "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    save_file({f"lora_unet_{layer}.diff": torch.randn(16, 16)}, tmp_path / "full.safetensors")
    dense = read_lora(tmp_path / "full.safetensors")
    dora = read_lora(make_lora(tmp_path / "dora", unet.build("cpu", "float32"), 1, use_dora=True))
    for file in (dense, dora):
        assert "own numbers" in told(lora.apply, small, file)
        assert "own numbers" in told(numerics.quantize, unet.with_adapter(file, 1.0), method)


@pytest.mark.parametrize("method", ABSENT or [pytest.param("", marks=pytest.mark.skip("all are installed"))])
def test_without_its_package_one_command_is_named_while_planning(unet, method):
    package = quantized.METHODS[method].package
    said = told(numerics.quantize, unet, method)
    assert f"needs the package {package}, which is not installed" in said
    assert f'pip install "weft[{package}]"' in said
    with pytest.raises(WeftError) as wrong:
        numerics.quantize(unet, method)
    assert wrong.value.code == "package.missing"


def test_a_device_that_a_package_does_not_know_is_told_before_weights_are_read(unet):
    choice = quantized.Quantized("bnb-nf4", "1")
    with pytest.raises(WeftError, match="bitsandbytes does not compute on 'mps'"):
        choice.convert(None, "mps")


def test_sizes_are_those_that_the_methods_promise():
    shape = (3072, 12288)
    of = {name: how.bytes(shape, 2) / (3072 * 12288) for name, how in quantized.METHODS.items()}
    assert all(0.5 < of[name] < 0.57 for name in ("bnb-nf4", "bnb-fp4"))
    assert all(1 < of[name] < 1.01 for name in of if name not in ("bnb-nf4", "bnb-fp4"))


def test_planning_with_it_imports_no_torch(home, tiny_sd1):
    method = HERE[0] if HERE else ""
    program = (
        "import sys; from pathlib import Path; from engine import places;"
        f"places.set_process_places(places.Places(model_folders=(Path({str(tiny_sd1.parent.parent)!r}),)));"
        "from nodes import load, numerics; m = load.model('tiny-sd1').model;"
        + (f"assert numerics.quantize(m, {method!r}).footprint('float16').whole;" if method else "")
        + "assert not {'torch', 'diffusers', 'numpy', 'torchao', 'bitsandbytes'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_folder_that_was_saved_quantized_says_so_and_what_to_use(home, tiny_sd1):
    copy = home.home / "models" / "checkpoints" / "nf4"
    shutil.copytree(tiny_sd1, copy)
    file = copy / "unet" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"quantization_config": {"quant_method": "bitsandbytes"}}))
    said = told(load.model, "nf4")
    assert "unet was saved quantized by bitsandbytes" in said and "numerics.quantize" in said
