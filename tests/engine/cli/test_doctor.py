"""`weft doctor`: what is broken is named, with its mend. The machine is a fake; what is looked for is not."""

import json
import sys
from pathlib import Path

import pytest

from engine.cli.doctor import Finding, World, examine
from engine.packs import Pack
from engine.places import Places
from engine.registry import Registry, make_registry


class Machine(World):
    """A machine of the test's own making."""

    system, machine, python = "linux", "x86_64", (3, 12, 1)

    def __init__(self, torch: str = "2.13.0+cpu", devices: object = (), there: tuple[str, ...] = (), **more: object):
        self.torch, self.devices, self.there = torch, list(devices), there  # type: ignore[call-overload]
        self.smi = ""
        self.room = 10**11
        self.ram = 32 * 10**9
        self.crash = ""
        for name, value in more.items():
            setattr(self, name, value)

    def exists(self, path: str) -> bool:
        return path in self.there

    def ask(self, *command: str, timeout: float = 60) -> tuple[int, str, str]:
        if command[0] == "nvidia-smi":
            return (0, self.smi, "") if self.smi else (-1, "", "no such command")
        if self.crash:
            return 1, "", self.crash
        return 0, json.dumps({"version": self.torch, "devices": self.devices}), ""

    def versions(self) -> dict[str, str]:
        return {"torch": self.torch, "diffusers": "0.42.1", "transformers": "5.23.0", "peft": "0.21.2"}

    def memory(self) -> int:
        return self.ram

    def free(self, folder: Path) -> int:
        return self.room


def look(machine: World, tmp_path: Path, registry: Registry | None = None) -> dict[str, Finding]:
    places = Places(home=tmp_path / "home")
    return {found.about: found for found in examine(machine, places, registry or make_registry([]))}


def broken(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if finding.state == "broken"]


def test_a_machine_without_a_gpu_is_slow_but_whole(tmp_path):
    found = look(Machine(), tmp_path)
    assert broken(found) == []
    assert found["device"].state == "note" and "no GPU" in found["device"].text


def test_a_gpu_that_torch_uses_is_fine(tmp_path):
    machine = Machine("2.13.0+cu126", [["NVIDIA H100", 80 * 10**9]], smi="GPU 0: NVIDIA H100 (UUID: x)\n")
    found = look(machine, tmp_path)
    assert found["device"] == Finding("device", "fine", "NVIDIA H100, 80.0 GB")


@pytest.mark.parametrize(
    ("machine", "gpu"),
    [
        (Machine(smi="GPU 0: NVIDIA GeForce RTX 4090 (UUID: GPU-1)\n"), "NVIDIA GeForce RTX 4090"),
        (Machine(there=("/proc/driver/nvidia/version",)), "NVIDIA"),
        (Machine(there=("/dev/dxg", "/usr/lib/wsl/lib/libcuda.so.1")), "WSL"),
        (Machine(there=("/dev/kfd",)), "AMD"),
        (Machine("2.13.0+cu126", there=("/dev/kfd",)), "AMD"),
        (Machine("2.13.0+rocm6.4", smi="GPU 0: NVIDIA A100 (UUID: x)\n"), "NVIDIA A100"),
    ],
)
def test_a_gpu_that_this_build_of_torch_cannot_use_is_named_with_the_mend(tmp_path, machine, gpu):
    found = look(machine, tmp_path)
    assert broken(found) == ["device"]
    assert gpu in found["device"].text and machine.torch in found["device"].text
    assert "install the build of torch" in found["device"].mend


def test_a_gpu_that_the_right_build_does_not_see_wants_a_driver(tmp_path):
    found = look(Machine("2.13.0+cu126", smi="GPU 0: NVIDIA A100 (UUID: x)\n"), tmp_path)
    assert broken(found) == ["device"]
    assert "driver" in found["device"].mend


def test_a_torch_that_cannot_be_imported_is_told_in_one_line(tmp_path):
    machine = Machine(crash="Traceback ...\nImportError: libcudnn.so.9: cannot open shared object file")
    found = look(machine, tmp_path)
    assert found["torch"].state == "broken"
    assert found["torch"].text.endswith("ImportError: libcudnn.so.9: cannot open shared object file")


def test_what_is_too_old_or_missing_is_broken(tmp_path):
    class Old(Machine):
        python = (3, 10, 4)

        def versions(self) -> dict[str, str]:
            return {"torch": "2.4.0", "diffusers": "0.42.1", "transformers": "", "peft": "0.21.2"}

    assert set(broken(look(Old(), tmp_path))) == {"Python", "torch", "transformers"}


def test_folders_that_cannot_be_written_are_broken(tmp_path):
    (tmp_path / "home").write_text("a file")
    assert set(broken(look(Machine(), tmp_path))) == {"home", "output", "state"}


def test_little_room_is_a_note(tmp_path):
    found = look(Machine(room=10**8, ram=2 * 10**9), tmp_path)
    assert broken(found) == []
    assert found["home"].state == found["memory"].state == "note"


def test_a_broken_pack_is_named(tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0\n")
    from engine.packs import find_packs

    (pack,) = [pack for pack in find_packs(tmp_path) if pack.name == "bad"]
    found = look(Machine(), tmp_path, make_registry([Pack("good", "good", tmp_path), pack]))
    assert broken(found) == ["pack bad"]
    assert "division by zero" in found["pack bad"].text


def test_models_are_counted_and_none_is_a_note(tmp_path):
    assert look(Machine(), tmp_path)["models"].state == "note"
    folder = tmp_path / "home" / "models" / "checkpoints" / "one"
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    assert look(Machine(), tmp_path)["models"].text.startswith("1 checkpoints")


def test_this_very_machine_can_be_looked_at(weft):
    told = weft("doctor", "--json")
    found = {finding["about"]: finding for finding in told.json}
    assert found["Python"]["text"].startswith(".".join(map(str, sys.version_info[:3])))
    assert found["pack desk"]["state"] == "fine"
    assert told.code == int(any(finding["state"] == "broken" for finding in told.json))
