"""What a run ran on: it explains a speed, and a result that another machine does not repeat to the last bit."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Return versions, system, processor, cores and torch's threads; None for what cannot be told."""
    try:
        import torch
    except ImportError:
        threads = instructions = None
    else:
        threads, instructions = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in ("hornbook", "torch", "numpy", "safetensors")},
        "platform": platform.platform(),
        "processor": _processor(),
        "instructions": instructions,  # AVX2, AVX512, …: which of torch's kernels run
        "cores": os.cpu_count(),
        "threads": threads,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # hornbook itself, run from its source
        return None


def _processor() -> str:
    # `platform` knows only the kind ("x86_64", "arm"); the model is where each system keeps it.
    try:
        if sys.platform == "darwin":
            asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, check=True, encoding="utf-8").stdout.strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except (OSError, ValueError, subprocess.SubprocessError):
        pass
    return platform.processor() or platform.machine()
