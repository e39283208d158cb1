"""What is printed, piece by piece, and what is known of it."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, Protocol

from hornbook.trace.values import Env, Values

TOKEN = re.compile(r"\bhb\d+_\w+")
"""The names that stand for things until all names are given out."""

Key = tuple[Any, str]
"""A function, or a class and the name of its method."""


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
    """A class, a function or a constant that is printed, and what is known of it."""

    thing: Any
    text: str
    first: str
    """the text before anything was put in"""
    inherits: tuple[Any, ...] = ()
    """classes whose methods were written into this one"""

    @property
    def bases(self) -> tuple[type, ...]:
        """The classes that a class stands on, as it is printed."""
        return (self.inherits[-1] if self.inherits else self.thing).__bases__

    def owner(self, method: str) -> Any:
        """Return the class that a method came from."""
        kinds = (self.thing, *self.inherits)
        return next((kind for kind in kinds if method in vars(kind)), self.thing)


@dataclass
class Facts:
    """What was found out about parameters, by function."""

    known: dict[Key, Env] = field(default_factory=dict)
    """values that parameters always have"""
    gone: dict[Key, set[str]] = field(default_factory=dict)
    """parameters that no call needs to bring"""
    passed: dict[Key, set[str]] = field(default_factory=dict)
    """parameters that some call brings"""
    offers: dict[tuple[Key, str], set[Any]] = field(default_factory=dict)
    """the settings that calls bring for a parameter; None for anything else"""
    done: dict[Key, set[str]] = field(default_factory=dict)
    """parameters that stand in no signature and no call any more"""

    def new(self, key: Key) -> set[str]:
        """Return the parameters that are to be dropped now."""
        return self.gone.get(key, set()) - self.done.get(key, set())


class World(Protocol):
    """What a pass asks of the whole program."""

    facts: Facts
    groups: dict[str, Any]

    def values(self, definition: Definition) -> Values: ...
    def instances(self, kind: type) -> Any: ...
    def reference(self, value: Any) -> str | None: ...
    def named(self, definition: Definition, name: str) -> str | None: ...
    def constant(self, module: ModuleType, name: str) -> str | None: ...
    def setting(self, group: Any, name: str) -> str | None: ...
    def setting_named(self, node: ast.AST) -> Any: ...
    def is_empty(self, key: Key) -> bool: ...
    def is_ours(self, thing: Any) -> bool: ...
    def inline(
        self, function: FunctionType, words: dict[str, Any], texts: dict[str, str], parenthesised: bool
    ) -> str | None: ...


def quoted(value: Any) -> str:
    """Return a value as source."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
