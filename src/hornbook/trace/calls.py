"""Calls: whose source they run, what they bring, and what they need not bring any more."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from torch import nn

from hornbook.errors import UsageError
from hornbook.trace.definitions import Definition, Key, World
from hornbook.trace.edits import Source, arguments, bare, parameters
from hornbook.trace.values import UNKNOWN, AnyOf, Env, Fixed, Method, does_nothing, hands_on, is_settled, same, stand_in


class Calls:
    """What one pass over a definition does with its calls."""

    alone: ast.expr | None = None
    """an expression that is all of what is assigned or returned"""

    def __init__(self, definition: Definition, world: World) -> None:
        self.definition, self.world, self.facts = definition, world, world.facts
        self.source = Source(definition.text)
        self.values = world.values(definition)
        self.nested: dict[str, ast.FunctionDef] = {}

    def expression(self, node: ast.AST, env: Env) -> None:
        """Rewrite an expression."""
        raise NotImplementedError

    def call(self, node: ast.Call, env: Env) -> bool:
        """Rewrite a call: what it need not bring goes, and so does a part that hands on what it is given."""
        function = self.values.of(node.func, env)
        if hands_on(function) and node.args:
            self.source.replace(node, self.source.of(node.args[0]))
            return True
        if (text := self.inlined(node, function, env)) is not None:
            self.source.replace(node, text)
            return True
        target = self.target(node, env)
        if target is None:
            kept = [each for each in arguments(node) if not does_nothing(self.values.of(bare(each), env))]
            if len(kept) < len(arguments(node)):
                self.source.list_again(arguments(node), map(self.source.of, kept))
                return True
            return False
        key, names, given = target
        for name, value in given.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            self.bind(key, name, Fixed(repr(value), value) if is_number else value)
        for each, name in zip(arguments(node), names, strict=True):
            self.facts.passed.setdefault(key, set()).add(name)
            self.facts.offers.setdefault((key, name), set()).add(self.world.setting_named(bare(each)))
            if name != "*" and not isinstance(bare(each), ast.Constant):
                self.bind(key, name, self.values.of(bare(each), env))
        if isinstance(function, type | FunctionType | partial):
            text = self.world.reference(function.func if isinstance(function, partial) else function)
            if text and text != self.source.of(node.func):
                self.source.replace(node.func, text)
        else:
            self.expression(node.func, env)
        for each in arguments(node):
            self.expression(bare(each), env)
        return True

    def drop(self, node: ast.Call, target: tuple[Key, list[str], Env], env: Env) -> None:
        """Take away the arguments that a call need not bring any more."""
        key, names, _ = target
        given, new = arguments(node), self.facts.new(key)
        spans = [self.source.span(each) for each in given]
        kept_before = False
        self.expression(node.func, env)
        for i, (each, name) in enumerate(zip(given, names, strict=True)):
            if name not in new:
                kept_before = True
                self.expression(bare(each), env)
            elif kept_before:
                self.source.replace_from_to(spans[i - 1][1], spans[i][1])
            elif i + 1 < len(given):
                self.source.replace_from_to(spans[i][0], spans[i + 1][0])
            else:
                self.source.replace_from_to(spans[i][0], self.source.data.index(b")", spans[i][1]))

    def bind(self, key: Key, name: str, value: Any) -> None:
        """Note what a parameter is given; once it is known, it is the same in every call."""
        known = self.facts.known.setdefault(key, {})
        if isinstance(value, AnyOf) and not is_settled(value):
            members = known[name].members if isinstance(known.get(name), AnyOf) else ()
            known[name] = stand_in((*members, *value.members))
        elif is_settled(value):
            if name in known and not same(known[name], value):
                what = getattr(key[0], "__qualname__", key[0])
                raise UsageError(f"{what} is given two different things as {name!r}: `source` prints only one of them.")
            known[name] = value
            self.facts.gone.setdefault(key, set()).add(name)

    def inlined(self, node: ast.Call, function: Any, env: Env) -> str | None:
        """Return a call's own result where it is one expression: an object that does nothing, a part's maker."""
        given: Env = {}
        pre: list[Any] = []
        if isinstance(function, partial):
            pre, given, function = list(function.args), dict(function.keywords), function.func
        if isinstance(function, MethodType):
            pre, function = [function.__self__], function.__func__
        elif not given and not pre and not (isinstance(node.func, ast.Name) and node.func.id in env):
            return None
        if not isinstance(function, FunctionType) or not self.world.is_ours(function):
            return None
        names = [*inspect.signature(function).parameters]
        given |= dict(zip(names, pre, strict=False))
        texts = dict(zip(names[len(pre) :], map(self.source.of, node.args), strict=False))
        texts |= {word.arg: self.source.of(word.value) for word in node.keywords if word.arg}
        return self.world.inline(function, given, texts, parenthesised=node is not self.alone)

    def target(self, node: ast.Call, env: Env) -> tuple[Key, list[str], Env] | None:
        """Say whose source a call runs, which parameter each argument is, and what a partial brings."""
        if any(isinstance(a, ast.Starred) for a in node.args) or any(w.arg is None for w in node.keywords):
            return None
        function, given = self.values.of(node.func, env), {}
        if isinstance(node.func, ast.Name) and node.func.id in self.nested:
            names = [arg.arg for arg in parameters(self.nested[node.func.id])]
            return (self.definition.thing, f".{node.func.id}"), names[: len(node.args)], {}
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "super()":
            function = self.inherited(node.func.attr)
        if isinstance(function, partial):
            if function.args:
                raise UsageError(f"{function} fixes arguments by their place: name them, for `source` to print it.")
            given, function = dict(function.keywords), function.func
        key: Key | None = None
        if isinstance(function, AnyOf) and function.kind:
            name = "forward" if issubclass(function.kind, nn.Module) else "__call__"
            function = Method(function, name)
        if isinstance(function, Method):
            key = (function.definer, function.name)
        elif isinstance(function, type):
            key = (next(kind for kind in function.__mro__ if "__init__" in vars(kind)), "__init__")
        elif isinstance(function, FunctionType):
            key = (function, "")
        if key is None or key[0] is None or not self.world.is_ours(key[0]):
            return None
        code = vars(key[0]).get(key[1]) if key[1] else key[0]
        if not isinstance(code, FunctionType):
            return None
        signature = inspect.signature(code).parameters
        names = [*signature][1 if key[1] else 0 :]
        starred = next(
            (i for i, name in enumerate(names) if signature[name].kind is signature[name].VAR_POSITIONAL), None
        )
        names = [name for name in names if name not in self.facts.done.get(key, ())]
        n = len(node.args)
        names = names[: starred if starred is not None else None]
        names += ["*"] * (n - len(names))  # what a starred one takes
        return key, [*names[:n], *(word.arg or "" for word in node.keywords)], given

    def inherited(self, name: str) -> Any:
        """Return what `super().name` is."""
        mro = self.definition.thing.__mro__[1 + len(self.definition.inherits) :]
        kind = next((kind for kind in mro if name in vars(kind)), None)
        members = self.world.instances(self.definition.thing)
        return Above(kind, name) if kind and isinstance(members, AnyOf) else UNKNOWN


@dataclass(frozen=True)
class Above(Method):
    """A method of a base class."""

    owner: Any
    name: str

    @property
    def definer(self) -> type | None:
        return self.owner
