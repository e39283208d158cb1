"""hornbook: train, look inside and understand a small GPT, on your own text.

import hornbook as hb
run = hb.train("my.txt", preset="quick")
print(run.generate("To be"))
run = hb.open("runs/my-quick")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hornbook.api import open_run as open
    from hornbook.api import plan, resume, train
    from hornbook.errors import UsageError
    from hornbook.lab.compare import compare
    from hornbook.run import Run

__all__ = ["Run", "UsageError", "compare", "open", "plan", "resume", "train"]

_HOME = {
    "train": ("hornbook.api", "train"),
    "plan": ("hornbook.api", "plan"),
    "resume": ("hornbook.api", "resume"),
    "open": ("hornbook.api", "open_run"),
    "compare": ("hornbook.lab.compare", "compare"),
    "Run": ("hornbook.run", "Run"),
    "UsageError": ("hornbook.errors", "UsageError"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import hornbook` by itself takes no time."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'hornbook' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
