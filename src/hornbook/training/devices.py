"""Where to compute, and in which numbers."""

import os
import shutil
from importlib.util import find_spec

import torch

from hornbook.errors import UsageError, nearest
from hornbook.model.config import ModelConfig

BFLOAT16_FROM = 128  # channels: below, casting costs a processor as much as the quicker products save (docs/results.md)


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of a name: cpu, cuda, mps; auto takes a GPU where there is one. Raises `UsageError`."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    if name not in there:
        raise UsageError(f"there is no device {name!r}; {nearest(name, ['auto', *there])}")
    if not there[name]:
        raise UsageError(f"this machine, or its PyTorch, has no {name}; cpu is always there.")
    return torch.device(name)


def same_device(name: str) -> torch.device:
    """Return the device that a run was trained on, or where that is not there, the best that is."""
    try:
        return choose_device(name)
    except UsageError:
        return choose_device("auto")


def can_compile(device: torch.device) -> bool:
    """Say whether torch.compile will work: on CUDA, with triton and the C compiler that it calls."""
    compiler = os.environ.get("CC") or next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    return device.type == "cuda" and find_spec("triton") is not None and compiler is not None


def choose_dtype(name: str, device: torch.device, config: ModelConfig) -> str:
    """Return "float32" or "bfloat16" for the matrix products: what was asked, or for auto what is quicker there."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    quicker = device.type == "cpu" and has_bfloat16() and config.kind != "bigram" and config.n_embd >= BFLOAT16_FROM
    return "bfloat16" if quicker else "float32"


def has_bfloat16() -> bool:
    """Say whether this processor multiplies bfloat16 in hardware."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
