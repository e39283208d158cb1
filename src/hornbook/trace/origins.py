"""What can be printed, where its source stands, and what the names in it mean."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from hornbook.errors import UsageError
from hornbook.trace import trees

TOKEN = re.compile(r"\bhb\d+_\w+")
"""The names that stand for things until all names are given out."""

KNOWN_IMPORTS = {
    "torch": "import torch",
    "nn": "from torch import nn",
    "F": "from torch.nn import functional as F",
}

Key = tuple[Any, str]
"""A function, or a class and the name of its method; of a function in a function, the outer one and ".name"."""


@dataclass(frozen=True)
class Constant:
    """A name that a file of ours assigns at its top."""

    module: str
    name: str


@dataclass(frozen=True)
class Setting:
    """A number that the model or its training has: its name, and what it belongs to."""

    group: str
    name: str
    place: int
    """where it stands among the others of its group"""


@dataclass
class Definition:
    """A class, a function, a constant or a setting that is printed."""

    thing: Any
    node: Any
    """its syntax tree, which is rewritten"""
    first: Any
    """the tree before anything was put in"""
    inherits: tuple[Any, ...] = ()
    """classes whose methods were written into this one"""

    @property
    def module(self) -> ModuleType:
        """The module that it stands in."""
        return sys.modules[self.thing.module if isinstance(self.thing, Constant) else self.thing.__module__]

    def functions(self) -> list[tuple[Key, Any]]:
        """Return its functions and their keys: the methods of a class; a function and those inside it."""
        if isinstance(self.node, ast.ClassDef):
            return [((self.owner(f.name), f.name), f) for f in self.node.body if isinstance(f, ast.FunctionDef)]
        return [((self.thing, "" if f is self.node else f".{f.name}"), f) for f in trees.functions(self.node)]

    def owner(self, method: str) -> Any:
        """Return the class that a method came from."""
        return next((kind for kind in (self.thing, *self.inherits) if method in vars(kind)), self.thing)


def is_outside(module: str) -> bool:
    """Say whether a module is one that a printed file may import."""
    top = module.partition(".")[0]
    return top in ("torch", "numpy") or top in sys.stdlib_module_names


def is_ours(thing: Any) -> bool:
    """Say whether a class or function is to be printed, not imported."""
    module = getattr(thing, "__module__", None)
    return isinstance(thing, type | FunctionType) and isinstance(module, str) and not is_outside(module)


def text_of(thing: Any) -> str:
    """Return the source of a constant, a class or a function. Raises `UsageError` where there is none to print."""
    if isinstance(thing, Constant):
        node = assignment(thing)
        return "\n".join(tree_of(thing.module)[0].split("\n")[node.lineno - 1 : node.end_lineno])
    name = f"{thing.__module__}.{thing.__qualname__}"
    if "<" in thing.__qualname__:
        raise UsageError(f"{name} can't be printed: it is made inside a function; define it at the top of a file.")
    top, file = thing.__module__.partition(".")[0], getattr(sys.modules.get(thing.__module__), "__file__", None)
    if top != "hornbook" and file and "site-packages" in Path(file).parts:
        raise UsageError(
            f"{name} can't be printed: it belongs to the package {top}, and the file is to import torch and numpy "
            "alone."
        )
    return source_of(thing, name)


def source_of(thing: Any, name: str) -> str:
    """Return the source of a module, a class or a function. Raises `UsageError` where there is none."""
    try:
        return textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError, SyntaxError):
        raise UsageError(f"{name} can't be printed: its source can't be found; define it in a file.") from None


def line_of(thing: Any) -> int:
    """Return the line of its file on which a definition begins."""
    return assignment(thing).lineno if isinstance(thing, Constant) else inspect.getsourcelines(thing)[1]


def assignment(constant: Constant) -> ast.stmt:
    """Return the statement that assigns a constant. Raises `UsageError` where there is none."""
    for node in tree_of(constant.module)[1].body:
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        if any(isinstance(n, ast.Name) and n.id == constant.name for t in targets if t for n in ast.walk(t)):
            return node
    raise UsageError(
        f"{constant.module}.{constant.name} can't be printed: no statement at the top of the file assigns it."
    )


@cache
def tree_of(module: str) -> tuple[str, ast.Module]:
    """Return a module's source and its syntax tree."""
    text = source_of(sys.modules[module], module)
    return text, ast.parse(text)


@cache
def imported(module: ModuleType, name: str) -> tuple[str, str | None, str] | None:
    """Say how a module came by a name: (module, name in it or None, the statement); None if it defines it itself."""
    nodes = [n for n in ast.walk(tree_of(module.__name__)[1]) if isinstance(n, ast.Import | ast.ImportFrom)]
    for node in nodes:
        for alias in node.names:
            if (alias.asname or alias.name) != name:
                continue
            renamed = f" as {alias.asname}" if alias.asname else ""
            if isinstance(node, ast.Import):
                return alias.name, None, f"import {alias.name}{renamed}"
            above = (module.__package__ or "").split(".")
            base = [*above[: len(above) - node.level + 1], node.module] if node.level else [node.module]
            origin = ".".join(filter(None, base))
            return origin, alias.name, f"from {origin} import {alias.name}{renamed}"
    return None


def find_constant(module: ModuleType, name: str) -> Constant:
    """Return a constant, in the module that assigns it."""
    found = imported(module, name)
    if found is None or found[1] is None or found[0] not in sys.modules:
        return Constant(module.__name__, name)
    return find_constant(sys.modules[found[0]], found[1])


def outside_text(value: Any) -> tuple[str, str, str]:
    """Return how a class or function of torch, numpy or Python is written, the name in that, and its import."""
    name = value.__name__
    for base, module in (("nn", nn), ("F", F), ("torch", torch)):
        if getattr(module, name, None) is value:
            return f"{base}.{name}", base, KNOWN_IMPORTS[base]
    return name, name, f"from {value.__module__} import {name}"
