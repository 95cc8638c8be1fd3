"""Numerics: whatever changes bits without being an input."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.numerics import LIBRARIES, Numerics, threads, versions

ROOT = Path(__file__).resolve().parents[2]
BASE = Numerics("cuda:0", "H100", "float16", threads=4, libraries=(("torch", "2"),))


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cpu"},
        {"capability": "A100"},
        {"dtype": "float32"},
        {"attention": "flash"},
        {"compile": True},
        {"deterministic": True},
        {"libraries": (("torch", "3"),)},
    ],
)
def test_what_changes_bits_changes_the_digest(change):
    assert dataclasses.replace(BASE, **change).digest != BASE.digest


@pytest.mark.parametrize("change", [{"device": "cuda:1"}, {"threads": 8}])
def test_what_changes_no_bits_does_not(change):
    assert dataclasses.replace(BASE, **change).digest == BASE.digest


def test_threads_count_on_the_cpu_and_for_its_lane():
    cpu = dataclasses.replace(BASE, device="cpu")
    assert dataclasses.replace(cpu, threads=8).digest != cpu.digest
    assert dataclasses.replace(BASE, threads=8).host_digest != BASE.host_digest


def test_the_cpu_lane_does_not_know_the_device():
    assert dataclasses.replace(BASE, device="mps", dtype="float32", capability="").host_digest == BASE.host_digest


def test_numerics_know_the_installed_libraries():
    import torch

    assert dict(versions()).keys() == set(LIBRARIES)
    assert dict(Numerics().libraries)["torch"] == torch.__version__


def test_the_thread_count_can_be_given(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads() >= 1


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "30000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_that_wait_spin_a_little_before_torch_is_there_unless_somebody_said_how(given, spins):
    free = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    told = "import sys, os, engine; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    command = [sys.executable, "-c", told]
    found = subprocess.run(command, env={**free, **given}, capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.split() == [spins, "False"]
