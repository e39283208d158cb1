"""Where a thing's source stands, and what the names in it mean."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from hornbook.errors import UsageError

OUTSIDE = {"torch", "numpy"}
KNOWN_IMPORTS = {
    "torch": "import torch",
    "nn": "from torch import nn",
    "F": "from torch.nn import functional as F",
}


def is_outside(module: str) -> bool:
    """Say whether a module is one that a printed file may import."""
    top = module.partition(".")[0]
    return top in OUTSIDE or top in sys.stdlib_module_names


def is_ours(thing: Any) -> bool:
    """Say whether a class or function is to be printed, not imported."""
    module = getattr(thing, "__module__", None)
    return isinstance(thing, type | FunctionType) and isinstance(module, str) and not is_outside(module)


def text_of(thing: type | FunctionType) -> str:
    """Return the source of a class or a function. Raises `UsageError` where there is none to print."""
    name = f"{thing.__module__}.{thing.__qualname__}"
    if "<" in thing.__qualname__:
        raise UsageError(f"{name} can't be printed: it is made inside a function; define it at the top of a file.")
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    if thing.__module__.partition(".")[0] != "hornbook" and file and "site-packages" in Path(file).parts:
        raise UsageError(
            f"{name} can't be printed: it belongs to the package {thing.__module__.partition('.')[0]}, and the file is "
            "to import torch and numpy alone."
        )
    try:
        return textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError, SyntaxError):
        raise UsageError(f"{name} can't be printed: its source can't be found; define it in a file.") from None


def module_of(name: str) -> ModuleType:
    """Return a module that was imported."""
    return sys.modules[name]


@cache
def tree_of(module: ModuleType) -> tuple[str, ast.Module]:
    """Return a module's source and its syntax tree."""
    try:
        text = inspect.getsource(module)
    except (OSError, TypeError):
        raise UsageError(f"{module.__name__} can't be printed: its source can't be found.") from None
    return text, ast.parse(text)


@cache
def imported(module: ModuleType, name: str) -> tuple[str, str | None, str] | None:
    """Say how a module came by a name: (module, name in it or None, the statement); None if it defines it itself."""
    nodes = [n for n in ast.walk(tree_of(module)[1]) if isinstance(n, ast.Import | ast.ImportFrom)]
    for node in nodes:
        for alias in node.names:
            if (alias.asname or alias.name) != name:
                continue
            renamed = f" as {alias.asname}" if alias.asname else ""
            if isinstance(node, ast.Import):
                return alias.name, None, f"import {alias.name}{renamed}"
            above = (getattr(module, "__package__", "") or "").split(".")
            base = [*above[: len(above) - node.level + 1], node.module] if node.level else [node.module]
            origin = ".".join(filter(None, base))
            return origin, alias.name, f"from {origin} import {alias.name}{renamed}"
    return None


def where_constant(module: ModuleType, name: str) -> tuple[ModuleType, str]:
    """Return the module that assigns a constant, and its name there."""
    found = imported(module, name)
    if found is None or found[1] is None or found[0] not in sys.modules:
        return module, name
    return where_constant(sys.modules[found[0]], found[1])


def constant_text(module: ModuleType, name: str) -> str:
    """Return the statement that assigns a constant. Raises `UsageError` where there is none."""
    node = _assignment(module, name)
    return "".join(tree_of(module)[0].splitlines(keepends=True)[node.lineno - 1 : node.end_lineno])


def constant_line(module: ModuleType, name: str) -> int:
    """Return the line on which a constant is assigned."""
    return _assignment(module, name).lineno


def _assignment(module: ModuleType, name: str) -> ast.stmt:
    for node in tree_of(module)[1].body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(name in {n.id for n in ast.walk(t) if isinstance(n, ast.Name)} for t in targets):
            return node
    raise UsageError(f"{module.__name__}.{name} can't be printed: no statement at the top of the file assigns it.")


def outside_text(value: Any) -> tuple[str, str, str]:
    """Return how a class or function of torch, numpy or Python is written, the name in that, and its import."""
    name = value.__name__
    for base, module in (("nn", nn), ("F", F), ("torch", torch)):
        if getattr(module, name, None) is value:
            return f"{base}.{name}", base, KNOWN_IMPORTS[base]
    return name, name, f"from {value.__module__} import {name}"
