"""`weft nodes`, `weft models`, `weft new`, `weft manifest`, `weft schema`: what there is, and files to begin with."""

import json
import os
import sys
from pathlib import Path

from engine import workflow
from engine.packs import read_pack
from tests.engine.cli.conftest import put, words


def test_nodes_are_listed_by_chapter(weft):
    told = weft("nodes")
    assert told.code == 0
    assert "denoise" in told.lines and "desk: word" in told.lines
    assert next(line for line in told.lines if line.strip().startswith("desk/word.say")).endswith(
        "Says a word, several times."
    )


def test_a_node_has_a_page(weft):
    told = weft("nodes", "desk/word.mark")
    assert told.code == 0
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in told.lines if line.startswith("  ")}
    assert rows["text"].startswith("str required")
    assert rows["strength"] == "float = 0.5 0..1."
    assert rows["how"] == 'choice = "loud" one of loud, quiet.'
    assert rows["out"] == "str"
    example = json.loads(told.lines[-1])
    assert workflow.from_json({"weft": 1, "nodes": {"a": example}}).nodes["a"].type == "desk/word.mark"


def test_a_node_is_found_by_what_others_call_it(weft):
    assert weft("nodes", "Speaker").lines[0].startswith("desk/word.say")
    assert weft("nodes", "KSampler").lines[0].startswith("denoise.sample")


def test_a_word_finds_names_first_and_then_what_is_written_about(weft):
    told = weft("nodes", "gaussian")
    assert {"image.blur", "mask.feather"} <= {line.split()[0] for line in told.lines if line.startswith("  ")}


def test_nodes_are_data_too(weft):
    record = weft("nodes", "desk/word.mark", "--json").json
    assert record["id"] == "desk/word.mark"
    assert {spec["id"] for spec in weft("nodes", "--json").json} >= {"denoise.sample", "map", "switch"}


def test_models_are_listed_by_kind_with_their_size(weft, home):
    folder = home / "models" / "loras" / "ink"
    folder.mkdir(parents=True)
    (folder / "soft.safetensors").write_bytes(b"x" * 2_500_000)
    told = weft("models", "loras")
    assert told.lines[0] == "loras"
    assert told.lines[2].split()[:3] == ["ink/soft.safetensors", "2.5", "MB"]
    assert "soft.safetensors is damaged" in told.lines[2]
    assert weft("models", "loras", "--json").json["loras"][0]["bytes"] == 2_500_000
    assert "no models found" in weft("models", "embeddings").out


# --- new -----------------------------------------------------------------------------------------------------------


def test_a_new_file_is_a_template(weft):
    told = weft("new", "mine.json")
    assert told.lines == ["mine.json"]
    assert workflow.read("mine.json").title == "Text to image"


def test_a_new_file_brings_the_pictures_of_its_template(weft):
    told = weft("new", "b/mine.json", "--template", "image_to_image")
    assert told.lines == ["b/mine.json", "b/assets/red_sphere_blue_cube.png"]
    assert weft("check", "b/mine.json").code == 0
    picture = Path("b/assets/red_sphere_blue_cube.png")
    picture.write_bytes(b"my own")
    assert weft("new", "b/other.json", "--template", "image_to_image").lines == ["b/other.json"]
    assert picture.read_bytes() == b"my own"


def test_a_new_file_may_begin_with_nodes_wired_by_their_types(weft):
    weft(
        "new", "my_picture.json", "load.model", "CLIPTextEncode", "latent.empty", "KSampler", "vae.decode", "image.save"
    )
    made = workflow.read("my_picture.json")
    assert made.title == "My picture"
    links = {f"{n}.{i}": str(s) for n, x in made.nodes.items() for i, s in x.inputs.items()}
    assert links["sample.model"] == "model.model"
    assert links["encode.encoder"] == "model.text_encoder"
    assert links["decode.latent"] == "sample.latent"
    assert links["save.image"] == "decode.image"
    assert made.outputs == {"image": "save.image"}


def test_two_nodes_of_one_kind_have_two_names(weft):
    weft("new", "x.json", "desk/word.mark", "desk/word.mark")
    assert list(workflow.read("x.json").nodes) == ["mark", "mark_2"]


# --- manifest ------------------------------------------------------------------------------------------------------


def pack(folder: Path, monkeypatch) -> Path:
    """A pack on the path, found by its entry point."""
    root = folder / "penpack"
    root.mkdir()
    (root / "__init__.py").write_text('"""Pens."""\n')
    (root / "ink.py").write_text(
        "from engine.node import node\n\n\n"
        '@node("penpack/ink.dip", light=True)\ndef dip(depth: int = 1) -> int:\n    """Dips."""\n    return depth\n'
    )
    info = folder / "penpack-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: penpack\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[weft.packs]\npenpack = penpack\n")
    monkeypatch.syspath_prepend(str(folder))
    forget()
    return root


def forget() -> None:
    """Leave no module of the pack behind, so that reading it begins anew."""
    for name in [name for name in sys.modules if name.startswith("penpack")]:
        del sys.modules[name]


def test_a_manifest_is_written_and_then_read_instead_of_the_pack(weft, tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    root = pack(folder, monkeypatch)
    assert weft("manifest", "penpack", "--check").code == 1
    told = weft("manifest", "penpack")
    assert told.code == 0 and told.out == f"{root / 'nodes.json'}: 1 node, 0 types\n"
    assert weft("manifest", "penpack", "--check").code == 0
    forget()
    assert [spec.id for spec in read_pack("penpack", "penpack").nodes] == ["penpack/ink.dip"]
    assert "penpack.ink" not in sys.modules
    with (root / "ink.py").open("a") as stream:
        stream.write("# changed\n")
    assert weft("manifest", "penpack", "--check").code == 1


def test_a_pack_that_cannot_be_imported_has_no_manifest(weft, tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    root = pack(folder, monkeypatch)
    (root / "ink.py").write_text("import nothing_of_this_name\n")
    told = weft("manifest", "penpack")
    assert told.code == 2
    assert "cannot be imported: ModuleNotFoundError" in told.err.splitlines()[-1]
    assert "Traceback" not in told.err
    assert not (root / "nodes.json").exists()


# --- help ----------------------------------------------------------------------------------------------------------


def test_help_names_every_command(weft):
    from engine.cli import COMMANDS

    told = weft("--help")
    assert told.code == 0
    for command in COMMANDS:
        assert f"\n    {command} " in told.out
        assert f"usage: weft {command}" in weft(command, "--help").out


def test_the_version_names_what_computes(weft):
    assert weft("--version").out.startswith("weft ")
    assert "torch 2." in weft("--version").out


def test_whoever_reads_us_may_leave(home):
    import subprocess

    command = [sys.executable, "-m", "engine.cli", "nodes"]
    env = {**os.environ, "PYTHONPATH": str(Path(workflow.__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


def test_a_schema_can_be_written_to_a_file(weft):
    printed = weft("schema").json
    assert weft("schema", "--out", "schema.json").code == 0
    assert json.loads(Path("schema.json").read_text()) == printed


def test_a_console_without_unicode_still_gets_its_answer(home):
    import subprocess

    env = {**os.environ, "PYTHONPATH": str(Path(workflow.__file__).parents[2]), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "engine.cli", "run", put(words()), "--set", "word=ä–ü"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert "said = ???!7" in done.stdout
