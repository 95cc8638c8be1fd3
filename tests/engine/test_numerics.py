"""Numerics: whatever changes bits without being an input."""

import dataclasses

import pytest

from engine.numerics import LIBRARIES, Numerics, threads, versions

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
