"""A GGUF file's head: what it says is told without torch, and nothing in it is believed unchecked."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.errors import WeftError
from engine.places import Places
from engine.registry import load_registry
from engine.shelf import listing
from nodes import load
from nodes.families.gguf import header
from tests.nodes import first_layout, ggufs
from tests.nodes.families import test_split
from tests.nodes.test_single_file import published

ROOT = Path(__file__).resolve().parents[3]


def number(value):
    return struct.pack("<Q", value)


def text(value):
    return number(len(value)) + value.encode()


def note(key, kind, raw):
    return text(key) + struct.pack("<I", kind) + raw


def entry(name, shape, kind=0, offset=0):
    sides = b"".join(number(side) for side in reversed(shape))
    return text(name) + struct.pack("<I", len(shape)) + sides + struct.pack("<I", kind) + number(offset)


def file(path, entries=(), notes=(), data=b"", version=3, tensors=None):
    head = b"GGUF" + struct.pack("<I", version) + number(len(entries) if tensors is None else tensors)
    head += number(len(notes)) + b"".join(notes) + b"".join(entries)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)
    return path


def test_what_a_file_holds_is_what_was_written(tmp_path):
    torch.manual_seed(0)
    state = {"a": torch.randn(2, 64), "b": torch.randn(5), "c": torch.randn(4, 32, 3, 3)}
    path = ggufs.write(tmp_path / "x.gguf", state, "Q4_0", architecture="flux", mixture=2)
    table = header.read(path)
    assert (table.architecture, table.mixture) == ("flux", "Q4_0")
    assert {name: (one.kind, one.shape) for name, one in table.tensors.items()} == {
        "a": ("Q4_0", (2, 64)),
        "b": ("F32", (5,)),
        "c": ("Q4_0", (4, 32, 3, 3)),
    }
    assert table.tensors["a"].bytes == 2 * 2 * 18
    one = table.tensors["b"]
    raw = path.read_bytes()[one.start : one.start + one.bytes]
    assert struct.unpack("<5f", raw) == pytest.approx(state["b"].tolist())


HOSTILE = {
    "empty": lambda p: p.write_bytes(b""),
    "another format": lambda p: p.write_bytes(b"PK\3\4" + bytes(100)),
    "cut in its head": lambda p: p.write_bytes(file(p, [entry("a", (4,))], data=bytes(16)).read_bytes()[:40]),
    "cut in its data": lambda p: file(p, [entry("a", (4,))], data=bytes(15)),
    "a billion tensors": lambda p: file(p, tensors=2**40),
    "more tensors than there are": lambda p: file(p, [entry("a", (4,))], data=bytes(16), tensors=60_000),
    "a text of an exabyte": lambda p: file(p, notes=[note("a", 8, number(2**60))]),
    "a list of an exabyte": lambda p: file(p, notes=[note("a", 9, struct.pack("<I", 4) + number(2**60))]),
    "a list of texts without end": lambda p: file(p, notes=[note("a", 9, struct.pack("<I", 8) + number(2**62))]),
    "lists in lists in lists": lambda p: file(p, notes=[note("a", 9, (struct.pack("<I", 9) + number(1)) * 50)]),
    "a note of no type": lambda p: file(p, notes=[note("a", 77, b"")]),
    "forty dimensions": lambda p: file(p, [entry("a", (1,) * 40)]),
    "more numbers than there are": lambda p: file(p, [entry("a", (2**31, 2**31))]),
    "sides that overflow": lambda p: file(p, [entry("a", (2**63, 2**63, 4))]),
    "a type from elsewhere": lambda p: file(p, [entry("a", (4,), kind=250)], data=bytes(64)),
    "rows that fill no block": lambda p: file(p, [entry("a", (4, 33), kind=8)], data=bytes(4096)),
    "one name twice": lambda p: file(p, [entry("a", (4,)), entry("a", (4,))], data=bytes(64)),
    "a place beyond the end": lambda p: file(p, [entry("a", (4,), offset=2**50)], data=bytes(64)),
    "a place between two steps": lambda p: file(p, [entry("a", (4,), offset=7)], data=bytes(64)),
    "steps of nothing": lambda p: file(
        p, [entry("a", (4,))], [note("general.alignment", 4, struct.pack("<I", 0))], bytes(64)
    ),
    "another shape before": lambda p: file(
        p,
        [entry("a", (8,))],
        [note("comfy.gguf.orig_shape.a", 9, struct.pack("<I", 5) + number(1) + struct.pack("<i", 9))],
        bytes(64),
    ),
    "version 9": lambda p: file(p, version=9),
    "the first version": lambda p: file(p, version=1),
    "the other order of bytes": lambda p: file(p, version=0x03000000),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_lies_is_one_clear_error(tmp_path, what):
    path = tmp_path / "bad.gguf"
    HOSTILE[what](path)
    with pytest.raises(WeftError) as wrong:
        header.read(path)
    problem = wrong.value.problem
    assert problem.code == "model.format" and "bad.gguf" in problem.message and problem.mend
    assert "\n" not in problem.message and len(problem.message) < 250


def test_flipping_any_byte_of_the_head_gives_a_table_or_one_error(tmp_path):
    path = ggufs.write(tmp_path / "x.gguf", {"a": torch.zeros(2, 32), "b": torch.zeros(3)})
    good = path.read_bytes()
    for at in range(min(len(good), 600)):
        raw = bytearray(good)
        raw[at] ^= 0xFF
        path.write_bytes(raw)
        try:
            header._read.__wrapped__(path, len(raw), at)
        except WeftError as error:
            assert error.code == "model.format"


def test_types_that_nobody_here_widens_are_named(home, tmp_path):
    path = file(tmp_path / "x.gguf", [entry("a", (2, 256), kind=18)], data=bytes(196))
    with pytest.raises(WeftError, match="IQ3_XXS"):
        header.check(path, header.read(path))


def test_a_language_model_is_told_as_what_it_says_it_is(home):
    where = home.home / "models" / "diffusion_models"
    where.mkdir(parents=True)
    told = note("general.architecture", 8, text("llama"))
    file(where / "chat.gguf", [entry("blk.0.attn_q.weight", (4, 4))], [told], bytes(64))
    with pytest.raises(WeftError, match=r"chat\.gguf is a GGUF file of 'llama'") as wrong:
        load.denoiser("chat.gguf")
    assert wrong.value.code == "model.family"


def flux_as_published():
    state = first_layout.denoiser("flux", published("flux", "transformer"))
    return {name: ("", tuple(tensor.shape)) for name, tensor in state.items()}


def sparse(path, table, kind):
    """The published shapes as a head alone, packed where rows fill blocks: no byte of weights on the disk."""
    _, block, width = header.TYPES[kind]
    entries, place = [], 0
    for name, (_, shape) in table.items():
        fits = len(shape) == 2 and shape[-1] % block == 0
        entries.append(entry(name, shape, kind if fits else 1, place))
        count = 1
        for side in shape:
            count *= side
        place += -(-(count // block * width if fits else 2 * count) // 32) * 32
    file(
        path,
        entries,
        [note("general.architecture", 8, text("flux")), note("general.file_type", 4, struct.pack("<I", 14))],
    )
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size + place)
    return path


def test_models_list_tells_family_mixture_and_size_of_flux_and_t5(home):
    unet, encoders = home.home / "models" / "unet", home.home / "models" / "text_encoders"
    unet.mkdir(parents=True)
    encoders.mkdir()
    sparse(unet / "flux1-dev-Q4_K_S.gguf", flux_as_published(), 12)
    t5 = test_split.load_file(test_split.t5(encoders / "plain.safetensors", feed=32))
    ggufs.write(encoders / "t5.gguf", ggufs.llama(t5), architecture="t5encoder")
    rows = listing(Places(home=home.home), load_registry(), ("diffusion_models", "text_encoders"))
    flux = next(row for row in rows["diffusion_models"] if row.name == "flux1-dev-Q4_K_S.gguf")
    assert (flux.about.family, flux.about.precision, flux.about.what) == ("flux", "Q4_K_S", "the denoiser of Flux")
    assert 6.6e9 < flux.bytes < 6.9e9, "as the file that the community keeps"
    t5 = next(row for row in rows["text_encoders"] if row.name == "t5.gguf")
    assert (t5.about.what, t5.about.precision) == ("a T5 text encoder", "Q8_0")
    model = load.denoiser("flux1-dev-Q4_K_S.gguf")
    assert model.family.startswith("flux") and model.space.name == "flux"
    whole = model.footprint("bfloat16")
    assert 6.6e9 < whole.whole < 6.9e9 and whole.blocks < 0.2 * whole.whole


def test_listing_and_planning_import_neither_torch_nor_the_package(home):
    where = home.home / "models" / "unet"
    where.mkdir(parents=True)
    sparse(where / "flux.gguf", flux_as_published(), 12)
    program = (
        "import sys; from engine import places; from engine.places import Places; from pathlib import Path;"
        f"here = Places(home=Path({str(home.home)!r})); places.set_process_places(here);"
        "from nodes import load; from nodes.families.describe import describe;"
        "assert load.denoiser('flux.gguf').footprint('bfloat16').whole;"
        "assert describe(here.model('diffusion_models', 'flux.gguf'))['precision'] == 'Q4_K_S';"
        "assert not {'torch', 'diffusers', 'numpy', 'gguf'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
