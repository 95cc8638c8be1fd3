"""Shelf: models that come over a bad line, pickles made safe, and what a workflow lacks."""

import hashlib
import json
import os
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import shelf, workflow
from engine.errors import WeftError
from engine.places import Places
from engine.registry import load_registry
from engine.shelf import hub
from engine.shelf.bring import Wish, bring
from engine.shelf.convert import convert
from engine.shelf.fetch import Cancelled, fetch

REPOSITORY = "small/model"


class Site:
    """A server that can break its lines: what it has, what it does next, what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.breaks: list[int] = []  # after how many bytes each of the next answers ends
        self.asked: list[tuple[str, str, str]] = []  # path, Range, Authorization
        self.ranges, self.tags, self.status, self.away = True, True, 0, ""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, *words) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, asked: BaseHTTPRequestHandler) -> None:
        path, wanted = asked.path.partition("?")[0], asked.headers.get("Range") or ""
        self.asked.append((path, wanted, asked.headers.get("Authorization") or ""))
        if self.status:
            asked.send_error(self.status)
            return
        if self.away and path.startswith("/away/"):
            asked.send_response(302)
            asked.send_header("Location", self.away + path.removeprefix("/away"))
            asked.end_headers()
            return
        whole = self.files.get(path)
        if whole is None:
            asked.send_error(404)
            return
        tag = f'"{hashlib.md5(whole).hexdigest()}"'
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if asked.headers.get("If-Range") not in (None, tag):
            start = 0
        if start and start >= len(whole):
            asked.send_response(416)
            asked.send_header("Content-Range", f"bytes */{len(whole)}")
            asked.end_headers()
            return
        asked.send_response(206 if start else 200)
        asked.send_header("Content-Length", str(len(whole) - start))
        if self.tags:
            asked.send_header("ETag", tag)
        asked.end_headers()
        end = start + self.breaks.pop(0) if self.breaks else len(whole)
        asked.wfile.write(whole[start:end])
        asked.close_connection = True


@pytest.fixture
def site():
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture
def where(tmp_path) -> Places:
    return Places(home=tmp_path / "weft")


def quick(site: Site, path: str, folder: Path, **more):
    return fetch(site.address + path, folder, pause=lambda seconds: None, **more)


def refused(call, *words, **more) -> WeftError:
    with pytest.raises(WeftError) as caught:
        call(*words, **more)
    assert "\n" not in str(caught.value)
    assert caught.value.problem.mend is not None
    return caught.value


DATA = bytes(range(256)) * 500


# --- over a bad line -------------------------------------------------------------------------------------------------


def test_a_line_that_breaks_goes_on_where_it_broke(site, tmp_path):
    site.files["/ink.bin"], site.breaks = DATA, [1000, 50_000, 0, 7]
    seen: list[int] = []
    found = quick(site, "/ink.bin", tmp_path, progress=lambda done, total: seen.append(done))
    assert found.path.read_bytes() == DATA
    assert found.sha256 == hashlib.sha256(DATA).hexdigest()
    assert [asked[1] for asked in site.asked] == ["", "bytes=1000-", "bytes=51000-", "bytes=51000-", "bytes=51007-"]
    assert seen == sorted(seen)
    assert seen[-1] == len(DATA)


def test_a_second_attempt_goes_on_from_what_the_first_left(site, tmp_path):
    site.files["/ink.bin"], site.breaks = DATA, [30_000]

    def stop(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        quick(site, "/ink.bin", tmp_path, progress=stop)
    site.asked.clear()
    assert quick(site, "/ink.bin", tmp_path).path.read_bytes() == DATA
    assert [asked[1] for asked in site.asked] == ["bytes=30000-"]


def test_what_is_here_whole_is_not_fetched_twice(site, tmp_path):
    site.files["/ink.bin"] = DATA
    quick(site, "/ink.bin", tmp_path)
    site.asked.clear()
    assert quick(site, "/ink.bin", tmp_path).path.read_bytes() == DATA
    assert len(site.asked) == 1, "asked once, whether there is more; nothing came"


def test_a_file_that_was_changed_meanwhile_is_begun_again(site, tmp_path):
    site.files["/ink.bin"], site.breaks = DATA, [1000]

    def change(done: int, total: int) -> None:
        site.files["/ink.bin"] = DATA[::-1]

    assert quick(site, "/ink.bin", tmp_path, progress=change).path.read_bytes() == DATA[::-1]


def test_a_server_that_knows_no_ranges_sends_it_again(site, tmp_path):
    site.files["/ink.bin"], site.breaks, site.ranges = DATA, [1000], False
    assert quick(site, "/ink.bin", tmp_path).path.read_bytes() == DATA


def test_a_line_that_only_breaks_is_given_up_with_what_came(site, tmp_path):
    site.files["/ink.bin"], site.breaks = DATA, [1000] + [0] * 20
    error = refused(quick, site, "/ink.bin", tmp_path)
    assert "keeps breaking: 1,000 of 128,000 bytes came" in str(error)
    assert "goes on where it stopped" in error.problem.mend.text
    site.breaks.clear()
    assert quick(site, "/ink.bin", tmp_path).path.read_bytes() == DATA


def test_what_is_not_the_file_that_was_promised_is_thrown_away(site, tmp_path):
    site.files["/ink.bin"] = DATA
    error = refused(quick, site, "/ink.bin", tmp_path, sha256="0" * 64)
    assert error.code == "model.format"
    assert "its SHA-256 is" in str(error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("status", "says"), [(404, "has no such file"), (403, "to just anybody (403)")])
def test_what_is_refused_is_told_in_one_line(site, tmp_path, status, says):
    site.status = status
    assert says in str(refused(quick, site, "/ink.bin", tmp_path))
    assert len(site.asked) == 1


def test_a_server_that_is_tired_is_asked_again(site, tmp_path):
    site.status, waits = 503, []
    with pytest.raises(WeftError, match="answers 503"):
        fetch(site.address + "/ink.bin", tmp_path, pause=waits.append)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]


def test_a_token_is_not_carried_to_another_host(site, tmp_path):
    other = Site()
    try:
        site.away, other.files["/ink.bin"] = other.address.replace("127.0.0.1", "localhost"), DATA
        quick(site, "/away/ink.bin", tmp_path, headers={"Authorization": "Bearer secret"})
        assert site.asked[0][2] == "Bearer secret"
        assert other.asked[0][2] == ""
    finally:
        other.server.shutdown()
        other.server.server_close()


def test_only_the_web_is_asked(tmp_path):
    assert "no address of a file" in str(refused(fetch, "file:///etc/hosts", tmp_path))


# --- into the right folder -------------------------------------------------------------------------------------------


def lora(file: Path) -> bytes:
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_{}.weight"
    save_file({name.format("down"): torch.ones(4, 768), name.format("up"): torch.ones(320, 4)}, file)
    return file.read_bytes()


def test_a_file_finds_its_folder_by_its_header(site, where, registry, tmp_path):
    site.files["/get/ink.safetensors"] = lora(tmp_path / "ink.safetensors")
    site.breaks = [100]
    found = bring(Wish(f"{site.address}/get/ink.safetensors"), where, registry)
    assert (found.kind, found.name) == ("loras", "ink.safetensors")
    assert where.model("loras", "ink.safetensors").read_bytes() == site.files["/get/ink.safetensors"]
    assert not list((where.home / "models" / ".incoming").iterdir())
    again = bring(Wish(f"{site.address}/get/ink.safetensors"), where, registry)
    assert again.path == found.path


def test_another_file_of_the_same_name_is_not_overwritten(site, where, registry, tmp_path):
    site.files["/ink.safetensors"] = lora(tmp_path / "ink.safetensors")
    folder = where.home / "models" / "loras"
    folder.mkdir(parents=True)
    (folder / "ink.safetensors").write_bytes(b"mine")
    error = refused(bring, Wish(f"{site.address}/ink.safetensors"), where, registry)
    assert "there is another ink.safetensors" in str(error)
    assert (folder / "ink.safetensors").read_bytes() == b"mine"
    found = bring(Wish(f"{site.address}/ink.safetensors", name="style/ink2.safetensors"), where, registry)
    assert found.path == folder / "style" / "ink2.safetensors"


def test_a_page_in_place_of_a_file_is_told(site, where, registry):
    site.files["/model.safetensors"] = b"<html>please log in</html>" * 50
    error = refused(bring, Wish(f"{site.address}/model.safetensors"), where, registry)
    assert "is the address the file's own, not its page's?" in error.problem.mend.text


def test_a_name_does_not_lead_out(site, where, registry, tmp_path):
    site.files["/ink.safetensors"] = lora(tmp_path / "ink.safetensors")
    assert (
        refused(bring, Wish(f"{site.address}/ink.safetensors", name="../../x"), where, registry).code == "place.outside"
    )


def test_what_cannot_be_meant_is_said(where, registry):
    assert "neither an address nor a name" in str(refused(bring, Wish("model"), where, registry))
    assert "there is no kind 'lora'" in str(refused(bring, Wish("http://x/y", kind="lora"), where, registry))


# --- the hub ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_hub(site, monkeypatch, tmp_path):
    """A hub with one repository, as huggingface_hub asks for it."""
    import huggingface_hub

    def offer(files: dict[str, bytes], name: str = REPOSITORY) -> None:
        siblings = []
        for path, data in files.items():
            large = path.endswith((".safetensors", ".bin"))
            sha = hashlib.sha256(data).hexdigest()
            lfs = {"lfs": {"sha256": sha, "oid": sha, "size": len(data), "pointerSize": 100}} if large else {}
            siblings.append({"rfilename": path, "size": len(data), "blobId": "0" * 40, **lfs})
            site.files[f"/{name}/resolve/{'1' * 40}/{path}"] = data
        told = {"id": name, "modelId": name, "sha": "1" * 40, "siblings": siblings, "private": False, "tags": []}
        site.files[f"/api/models/{name}"] = json.dumps(told | {"downloads": 0, "likes": 0}).encode()

    api = huggingface_hub.HfApi(endpoint=site.address, token=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    address = huggingface_hub.hf_hub_url
    monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda *w, **m: address(*w, **m, endpoint=site.address))
    monkeypatch.setattr(hub, "headers", dict)
    return offer


def test_a_model_folder_comes_without_what_is_not_needed(site, small_hub, where, registry):
    files = {
        "model_index.json": b'{"_class_name": "StableDiffusionPipeline"}',
        "unet/config.json": b"{}",
        "unet/diffusion_pytorch_model.safetensors": b"u" * 1000,
        "unet/diffusion_pytorch_model.fp16.safetensors": b"h" * 500,
        "unet/diffusion_pytorch_model.bin": b"p" * 1000,
        "tokenizer/vocab.json": b"{}",
        "model.safetensors": b"w" * 2000,
        "README.md": b"hello",
    }
    small_hub(files)
    site.breaks = [len(site.files[f"/api/models/{REPOSITORY}"]), 2]
    found = bring(Wish(REPOSITORY), where, registry)
    assert (found.kind, found.name) == ("checkpoints", REPOSITORY)
    folder = where.model("checkpoints", REPOSITORY)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {
        *("model_index.json", "unet/config.json", "tokenizer/vocab.json"),
        "unet/diffusion_pytorch_model.safetensors",
    }
    half = bring(Wish(REPOSITORY, variant="fp16", name="half"), where, registry)
    assert (half.path / "unet" / "diffusion_pytorch_model.fp16.safetensors").read_bytes() == b"h" * 500
    assert not (half.path / "unet" / "diffusion_pytorch_model.safetensors").exists()


def test_one_file_of_a_repository_is_checked_by_the_hubs_hash(site, small_hub, where, registry, tmp_path):
    small_hub({"ink.safetensors": lora(tmp_path / "ink.safetensors"), "other.safetensors": b"x"})
    site.files[f"/{REPOSITORY}/resolve/{'1' * 40}/other.safetensors"] = b"y"
    assert bring(Wish(f"{REPOSITORY}/ink.safetensors"), where, registry).kind == "loras"
    error = refused(bring, Wish(f"{REPOSITORY}/other.safetensors", kind="loras"), where, registry)
    assert "is not the file: its SHA-256" in str(error)
    error = refused(bring, Wish(REPOSITORY), where, registry)
    assert "has 2 weights files and is no model folder" in str(error)
    assert f"weft models get {REPOSITORY}/ink.safetensors" in error.problem.mend.text


def test_a_tokenizer_comes_alone(small_hub, where, registry):
    small_hub({"vocab.json": b"{}", "merges.txt": b"#", "model.safetensors": b"w" * 99, "config.json": b"{}"})
    found = bring(Wish(REPOSITORY, only="tokenizer"), where, registry)
    assert (found.kind, found.name, found.files) == ("tokenizers", "model", 2)
    assert sorted(path.name for path in found.path.iterdir()) == ["merges.txt", "vocab.json"]


def test_a_repository_that_is_not_there_is_told(site, where, registry, small_hub):
    error = refused(bring, Wish("nobody/nothing"), where, registry)
    assert error.code == "model.missing"
    assert "nobody/nothing" in str(error)


def test_a_repository_with_pickles_alone_is_told(small_hub, where, registry):
    small_hub({"pytorch_model.bin": b"p"})
    assert "has only pickled weights" in str(refused(bring, Wish(REPOSITORY), where, registry))


# --- pickles ---------------------------------------------------------------------------------------------------------


def test_a_checkpoint_becomes_safetensors_with_its_numbers_as_notes(tmp_path):
    from safetensors import safe_open

    shared = torch.arange(6.0)
    state = {"a": shared, "b": shared, "turned": torch.rand(3, 2).T, "step": "no tensor"}
    torch.save({"state_dict": state, "global_step": 7, "epoch": 2}, tmp_path / "old.ckpt")
    made = convert(tmp_path / "old.ckpt")
    assert made.path == tmp_path / "old.safetensors"
    assert (made.tensors, made.left_out) == (3, ("step",))
    found = load_file(made.path)
    assert all(torch.equal(found[key], state[key]) for key in found)
    with safe_open(made.path, "pt") as stream:
        notes = stream.metadata()
    assert (notes["global_step"], notes["epoch"], notes["converted_from"]) == ("7", "2", "old.ckpt")
    assert notes["source_sha256"] == hashlib.sha256((tmp_path / "old.ckpt").read_bytes()).hexdigest()
    assert not list(tmp_path.glob(".*"))


def test_a_textual_inversion_becomes_its_rows(tmp_path):
    torch.save({"string_to_param": {"*": torch.rand(2, 768)}, "name": "ink", "step": 500}, tmp_path / "ink.pt")
    assert load_file(convert(tmp_path / "ink.pt").path)["emb_params"].shape == (2, 768)


def test_smoothed_weights_are_preferred(tmp_path):
    torch.save({"params": {"w": torch.zeros(1)}, "params_ema": {"w": torch.ones(1)}}, tmp_path / "up.pth")
    assert load_file(convert(tmp_path / "up.pth").path)["w"].item() == 1


class Evil:
    """What a file made to attack its reader does."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def test_a_pickle_that_is_a_program_is_not_run(tmp_path):
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"w": Evil(str(tmp_path / "harm"))}))
    error = refused(convert, tmp_path / "evil.pt")
    assert "it holds more than tensors" in str(error)
    torch.save({"w": torch.zeros(1), "more": Evil(str(tmp_path / "harm"))}, tmp_path / "worse.ckpt")
    assert "would run a program from the file" in str(refused(convert, tmp_path / "worse.ckpt"))
    assert not (tmp_path / "harm").exists()
    assert not list(tmp_path.glob("*.safetensors"))


def test_what_is_no_pickle_or_there_already_is_told(tmp_path):
    (tmp_path / "noise.pt").write_bytes(b"noise")
    assert refused(convert, tmp_path / "noise.pt").code == "model.format"
    assert "is no pickled file" in str(refused(convert, Path(__file__)))
    assert refused(convert, tmp_path / "none.pt").code == "model.missing"
    (tmp_path / "noise.safetensors").touch()
    assert "is there already" in str(refused(convert, tmp_path / "noise.pt"))


# --- what there is, and what a workflow lacks ------------------------------------------------------------------------


def test_a_list_says_what_each_file_is(where, registry, tmp_path):
    folder = where.home / "models" / "loras"
    folder.mkdir(parents=True)
    lora(folder / "ink.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "ink.safetensors").read_bytes()[:-9])
    rows = {row.name: row for row in shelf.listing(where, registry)["loras"]}
    about = rows["ink.safetensors"].about
    assert (about.family, about.what, about.precision, about.fits) == ("sd1", "a LoRA of rank 4", "float32", "sd1")
    assert "damaged" in rows["cut.safetensors"].about.problem


def test_a_workflow_says_what_it_lacks_and_how_to_get_it(where, registry, tmp_path):
    (where.home / "models" / "loras").mkdir(parents=True)
    lora(where.home / "models" / "loras" / "there.safetensors")
    record = {
        "weft": 1,
        "nodes": {
            "a": {"type": "lora.load", "inputs": {"lora": "there.safetensors"}},
            "b": {"type": "lora.load", "inputs": {"lora": "ink.safetensors"}},
            "c": {"type": "load.model", "inputs": {"model": "org/name"}},
        },
        "graphs": {"inner": {"nodes": {"d": {"type": "load.vae", "inputs": {"model": "v.safetensors"}}}}},
        "requires": {
            "models": {
                "loras": {"ink.safetensors": {"from": "https://example.org/ink", "sha256": "ab"}},
                "upscale_models": ["4x.safetensors"],
            }
        },
    }
    found = {need.name: need for need in shelf.needs(workflow.from_json(record), registry, where)}
    assert {name: need.there for name, need in found.items()} == {
        "there.safetensors": True,
        "ink.safetensors": False,
        "org/name": False,
        "v.safetensors": False,
        "4x.safetensors": False,
    }
    assert found["4x.safetensors"].mend == "put it under models/upscale_models/4x.safetensors"
    assert found["ink.safetensors"].mend == (
        "weft models get https://example.org/ink --to loras --name ink.safetensors --sha256 ab"
    )
    assert found["org/name"].mend == "weft models get org/name"
    assert found["v.safetensors"].node == "#inner/d"
