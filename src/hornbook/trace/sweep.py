"""What nothing asks for any more goes: names, attributes, parameters, methods, and classes that stand on one other."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from hornbook.trace import trees
from hornbook.trace.origins import Definition, Key
from hornbook.trace.values import does_nothing

if TYPE_CHECKING:
    from hornbook.trace.whole import Program

SHOWN = {"extra_repr", "__repr__", "__str__"}
"""Methods that only show an object."""


class Sweep:
    """Takes away what is not in use, in all definitions together."""

    def __init__(self, program: Program, definitions: Sequence[Definition]) -> None:
        self.program, self.definitions = program, definitions
        self.were_read = set[str]().union(*(trees.attributes(each.first) for each in definitions))
        self.read = set[str]().union(*(trees.attributes(each.node) for each in definitions))
        self.read_of_others = set[str]().union(*(trees.attributes(each.node, of_self=False) for each in definitions))

    def run(self) -> None:
        """Take away what is not in use now."""
        for each in self.definitions:
            if isinstance(each.node, ast.ClassDef):
                each.node.body = [m for m in each.node.body if not self.is_unused(each, m)] or [ast.Pass()]
            for _, function in each.functions():
                self.dead_assignments(each, function)
        for key, function in self.program.closed():
            self.unused_parameters(key, function)

    def is_unused(self, definition: Definition, member: ast.stmt) -> bool:
        """Say whether nobody asks for a member of a class, not even torch."""
        if isinstance(member, ast.FunctionDef):
            above = [c for c in definition.thing.__mro__ if c.__module__.partition(".")[0] in ("torch", "builtins")]
            unasked = member.name not in self.read and not any(hasattr(c, member.name) for c in above)
            inherited = member.name == "__init__" and len(member.args.args) == 1
            inherited = inherited and ast.unparse(trees.body_of(member)[0]) == "super().__init__()"
            return unasked or member.name in SHOWN or (inherited and len(trees.body_of(member)) == 1)
        is_data = any("dataclass" in ast.unparse(each) for each in definition.node.decorator_list)
        own = member_names(member)
        return bool(own) and not is_data and not any(name in self.read or name.startswith("__") for name in own)

    def unused_parameters(self, key: Key, function: ast.FunctionDef) -> None:
        """Note the parameters that a function does not read."""
        kept = {*trees.names([function]), *(a.arg for a in (function.args.vararg, function.args.kwarg) if a)}
        words = [arg.arg for arg in trees.parameters(function)][1 if key[1] == "__init__" else 0 :]
        self.program.gone.update((key, word) for word in words if word not in kept)

    def dead_assignments(self, definition: Definition, function: ast.FunctionDef) -> None:
        """Take away assignments to what was read before, and is not any more."""
        read, were = set(trees.names([function])), set(trees.names([definition.first]))

        def dead(target: ast.expr) -> bool:
            if isinstance(target, ast.Name):
                return target.id not in read and target.id in were
            if not isinstance(target, ast.Attribute) or target.attr not in self.were_read:
                return False
            if isinstance(definition.node, ast.ClassDef) and trees.is_self(target.value):
                return self.is_dead_attribute(definition, target.attr)
            return target.attr not in self.read

        def edit(body: list[ast.stmt]) -> list[ast.stmt]:
            for each in body:
                kept = [(target, value) for target, value in trees.pairs(each) if not dead(target)]
                if isinstance(each, ast.Assign) and 0 < len(kept) < len(trees.pairs(each)):
                    trees.assign(each, kept)
            return [each for each in body if not is_dead(each)]

        def is_dead(each: Any) -> bool:
            if isinstance(each, ast.For | ast.If | ast.With) and not getattr(each, "orelse", None):
                return all(isinstance(inside, ast.Pass) for inside in each.body)
            return bool(trees.pairs(each)) and all(dead(target) for target, _ in trees.pairs(each))

        trees.edit_bodies(function, edit)

    def is_dead_attribute(self, definition: Definition, name: str) -> bool:
        """Say whether nobody asks for an attribute of `self`, and nothing is saved with it."""
        parts = [getattr(each, name, None) for each in getattr(self.program.instances(definition.thing), "members", ())]
        read = set[str]() if parts and all(map(does_nothing, parts)) else set(self.read_of_others)
        for other in self.definitions:
            if isinstance(other.thing, type) and (
                issubclass(other.thing, definition.thing) or issubclass(definition.thing, other.thing)
            ):
                read |= trees.attributes(other.node, of_self=True)
        has_weights = any(isinstance(part, nn.Module) and part.state_dict() for part in parts)
        return name not in read and name not in dir(nn.Module) and not has_weights


def flatten(above: Definition, below: Definition) -> bool:
    """Write all that a class inherits from `above` into it; say whether that can be done."""
    if any(ast.unparse(node) == "super()" for node in ast.walk(below.node)):
        return False
    own = {name for member in below.node.body for name in member_names(member)}
    inherited = [m for m in above.node.body if member_names(m) and not own & set(member_names(m))]
    body = trees.body_of(below.node)
    words = below.node.body[: len(below.node.body) - len(body)]
    below.node.body = [*words, *inherited, *(each for each in body if not isinstance(each, ast.Pass))]
    below.node.bases = above.node.bases
    below.inherits = (*below.inherits, above.thing)
    return True


def member_names(member: ast.stmt) -> list[str]:
    """Return what a member of a class is called."""
    if isinstance(member, ast.FunctionDef):
        return [member.name]
    return [target.id for target, _ in trees.pairs(member) if isinstance(target, ast.Name)]
