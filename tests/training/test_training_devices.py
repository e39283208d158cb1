"""Where to compute and in which numbers: chosen by what there is, not by what is hoped for."""

import shutil
import sys

import pytest
import torch

from hornbook.errors import UsageError
from hornbook.model.config import ModelConfig
from hornbook.training import devices
from hornbook.training.devices import can_compile, choose_device, choose_dtype, same_device

CPU = torch.device("cpu")


def test_a_device_that_is_not_there_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device() == choose_device("cpu") == CPU
    with pytest.raises(UsageError, match=r"^this machine, or its PyTorch, has no cuda; cpu is always there\.$"):
        choose_device("cuda")
    with pytest.raises(UsageError, match=r"^there is no device 'cudo'; did you mean 'cuda'\?$"):
        choose_device("cudo")
    assert same_device("cuda") == CPU  # a run from elsewhere opens on what there is


def test_a_gpu_is_taken_where_there_is_one_and_a_run_stays_where_it_was(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device().type == "cuda"
    assert same_device("cpu") == CPU


@pytest.mark.parametrize(
    ("has", "kind", "width", "expected"),
    [
        (True, "gpt", 128, "bfloat16"),
        (True, "gpt", 127, "float32"),
        (False, "gpt", 192, "float32"),
        (True, "bigram", 192, "float32"),
    ],
)
def test_bfloat16_is_taken_where_it_is_quicker(monkeypatch, has, kind, width, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has})
    config = ModelConfig(vocab_size=9, kind=kind, n_embd=width, n_head=1)
    assert choose_dtype("auto", CPU, config) == expected
    assert choose_dtype("float32", CPU, config) == "float32"
    assert choose_dtype("bfloat16", CPU, config) == "bfloat16"


def test_steps_are_compiled_only_where_a_compiler_is(monkeypatch):
    cuda = torch.device("cuda")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(devices, "find_spec", lambda name: sys.__spec__ or object())
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/gcc" if name == "gcc" else None)
    assert can_compile(cuda)
    assert not can_compile(CPU)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not can_compile(cuda)
    monkeypatch.setenv("CC", "cc")
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    assert not can_compile(cuda)
