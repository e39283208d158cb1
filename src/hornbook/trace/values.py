"""What is known about a program before it runs: which expression has which value.

The model is there, so an expression such as `self.attention` stands for modules that can be looked at.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import nn

from hornbook.model.block import Unchanged
from hornbook.model.cache import NO_CACHE
from hornbook.model.config import ModelConfig
from hornbook.model.dropout import Clock, Dropout

UNKNOWN = object()
FULL = object()
"""a list with something in it"""
COMPARE = {"Eq": "eq", "NotEq": "ne", "Is": "is_", "IsNot": "is_not", "Lt": "lt", "LtE": "le", "Gt": "gt", "GtE": "ge"}
"""the functions of `operator` that are what comparisons do"""
Env = dict[str, Any]


@dataclass(frozen=True)
class AnyOf:
    """Objects that one expression stands for, now the one, now the other: the attentions of all blocks."""

    members: tuple[Any, ...]

    @property
    def kind(self) -> type | None:
        """The class of all of them, if it is one."""
        kinds = {type(member) for member in self.members}
        return kinds.pop() if len(kinds) == 1 else None


@dataclass(frozen=True)
class Fixed:
    """What a parameter is in every call: a setting, by its name."""

    text: str
    value: Any


@dataclass(frozen=True)
class Method:
    """A method of objects that are known."""

    owner: AnyOf
    name: str
    above: type | None = None
    """the base class that it is taken from, if that is said"""

    @property
    def definer(self) -> type | None:
        """The class that the method's source stands in."""
        mro = self.owner.kind.__mro__ if self.owner.kind else ()
        return self.above or next((kind for kind in mro if self.name in vars(kind)), None)


def stand_in(members: Any) -> Any:
    """Return what stands for all of them."""
    unique = {id(member): member for member in members}
    return AnyOf(tuple(unique.values())) if unique else UNKNOWN


def hands_on(value: Any) -> bool:
    """Say whether modules return what they are given: an absent norm, a dropout of rate 0."""
    return isinstance(value, AnyOf) and all(
        type(m) in (nn.Identity, Unchanged) or (type(m) is Dropout and m.p == 0) for m in value.members
    )


def does_nothing(value: Any) -> bool:
    """Say whether whatever is asked of an object changes nothing."""
    if isinstance(value, AnyOf):
        return all(map(does_nothing, value.members))
    return value is NO_CACHE or (isinstance(value, Clock) and not value.dropouts)


def is_idle(value: Any) -> bool:
    """Say whether a context manager changes nothing."""
    return value is contextlib.nullcontext


def is_settled(value: Any) -> bool:
    """Say whether a value can be put in where it is used, or vanish: no argument needs to bring it."""
    if isinstance(value, AnyOf | Method):
        return hands_on(value) or does_nothing(value)
    kinds = (bool, str, type, FunctionType, partial, Find)
    return value is None or isinstance(value, kinds) or is_dataclass(value) or does_nothing(value)  # as `Fixed` is


def same(a: Any, b: Any) -> bool:
    """Say whether two values that are known are one."""
    return (hands_on(a) and hands_on(b)) or a is b or (type(a) is type(b) and bool(a == b))


class Find:
    """What gives a part by its kind."""

    def __init__(self, config: ModelConfig, parts: Mapping[str, Mapping[str, Any]]) -> None:
        self.config, self.parts = config, parts

    def __call__(self, kind: str) -> Any:
        """Return the part that the config names."""
        return self.parts[kind][getattr(self.config, kind)]


class Values:
    """Finds the values of expressions. `names` looks up a name that no function binds."""

    def __init__(
        self, names: Callable[[str], Any], instances: Callable[[type], Any], decided: Mapping[Any, Any]
    ) -> None:
        self.names, self.instances, self.decided = names, instances, decided

    def of(self, node: ast.AST, env: Env) -> Any:
        """Return what an expression is, or UNKNOWN."""
        method = getattr(self, f"of_{type(node).__name__.lower()}", None)
        return method(node, env) if method else UNKNOWN

    def of_constant(self, node: ast.Constant, env: Env) -> Any:
        return node.value

    def of_name(self, node: ast.Name, env: Env) -> Any:
        if node.id in env:
            found = env[node.id]
            return found.value if isinstance(found, Fixed) else found
        value = self.names(node.id)
        return getattr(builtins, node.id, UNKNOWN) if value is UNKNOWN else value

    def of_attribute(self, node: ast.Attribute, env: Env) -> Any:
        return self.attribute(self.of(node.value, env), node.attr)

    def attribute(self, base: Any, name: str) -> Any:
        """Return an attribute of a value, if it never changes."""
        if isinstance(base, AnyOf):
            if all(type(m) is Dropout and m.p == 0 for m in base.members) and name == "p":
                return 0
            if not all(hasattr(member, name) for member in base.members):
                return UNKNOWN
            found = [getattr(member, name) for member in base.members]
            if all(isinstance(each, list) and each for each in found):
                return FULL
            if isinstance(found[0], nn.Module | Clock) and not does_nothing(found[0]):
                return stand_in(found)
            if isinstance(found[0], MethodType):
                return Method(base, name)
            stays = isinstance(found[0], type) or is_dataclass(found[0]) or does_nothing(found[0])
            return found[0] if stays and all(same(found[0], each) for each in found) else UNKNOWN
        if isinstance(base, ModuleType | type) or is_dataclass(base) or does_nothing(base):
            return getattr(base, name, UNKNOWN)
        return UNKNOWN

    def of_subscript(self, node: ast.Subscript, env: Env) -> Any:
        table, key = self.of(node.value, env), self.of(node.slice, env)
        return table.get(key, UNKNOWN) if isinstance(table, dict) and isinstance(key, str) else UNKNOWN

    def of_call(self, node: ast.Call, env: Env) -> Any:
        function = self.of(node.func, env)
        if not callable(function) or function is UNKNOWN:
            return UNKNOWN
        if isinstance(function, FunctionType | MethodType) and function in self.decided:
            return self.decided[function]
        if isinstance(function, type) and not is_dataclass(function):
            return self.instances(function)
        if node.keywords or any(isinstance(arg, ast.Starred) for arg in node.args):
            return UNKNOWN
        arguments = [self.of(arg, env) for arg in node.args]
        if isinstance(function, AnyOf) or any(each is UNKNOWN for each in arguments):
            return UNKNOWN
        if function is isinstance and isinstance(arguments[0], AnyOf):
            return arguments[0].kind and issubclass(arguments[0].kind, arguments[1])
        if function in (isinstance, getattr) or isinstance(function, Find) or is_dataclass(function):
            return function(*arguments)
        return UNKNOWN

    def of_compare(self, node: ast.Compare, env: Env) -> Any:
        sides = [self.of(side, env) for side in (node.left, *node.comparators)]
        how = [COMPARE.get(type(op).__name__) for op in node.ops]
        if not all(how) or any(side is UNKNOWN or isinstance(side, AnyOf) for side in sides):
            return UNKNOWN
        return all(getattr(operator, str(word))(a, b) for word, a, b in zip(how, sides, sides[1:], strict=False))

    def of_unaryop(self, node: ast.UnaryOp, env: Env) -> Any:
        value = self.of(node.operand, env)
        return not value if isinstance(node.op, ast.Not) and value is not UNKNOWN else UNKNOWN

    def of_boolop(self, node: ast.BoolOp, env: Env) -> Any:
        stops = isinstance(node.op, ast.Or)  # the operand that decides alone: a true one of `or`, a false one of `and`
        values = [self.of(each, env) for each in node.values]
        known = [each for each in values if each is not UNKNOWN and not isinstance(each, AnyOf)]
        if len(known) == len(values):
            return next((each for each in values if bool(each) == stops), values[-1])
        return next((each for each in known if each is stops), UNKNOWN)

    def of_ifexp(self, node: ast.IfExp, env: Env) -> Any:
        test = self.of(node.test, env)
        return UNKNOWN if test is UNKNOWN else self.of(node.body if test else node.orelse, env)
