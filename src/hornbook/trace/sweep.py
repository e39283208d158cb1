"""What nothing asks for any more goes: names, attributes, parameters, methods, and classes that stand on one other."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from hornbook.trace.definitions import Definition, Facts
from hornbook.trace.edits import Source, functions, pairs, parameters, parse
from hornbook.trace.values import does_nothing

SHOWN = {"extra_repr", "__repr__", "__str__"}
"""Methods that only show an object."""


def loads(tree: ast.AST) -> set[str]:
    """Return the names that are read."""
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def attributes(tree: ast.AST, of_self: bool | None = None) -> set[str]:
    """Return the attributes that are read: all, those of `self`, or those of others."""
    return {
        n.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load) and of_self in (None, is_self(n.value))
    }


def is_self(node: ast.AST) -> bool:
    """Say whether an expression is `self`."""
    return isinstance(node, ast.Name) and node.id == "self"


class Sweep:
    """Takes away what is not in use, in all definitions together."""

    def __init__(self, definitions: Sequence[Definition], facts: Facts, instances: Callable[[type], Any]) -> None:
        self.definitions, self.facts, self.instances = definitions, facts, instances
        self.sources = {id(d): Source(d.text) for d in definitions}
        trees = [source.tree for source in self.sources.values()]
        firsts = [parse(d.first) for d in definitions]
        self.were_read = set[str]().union(*map(attributes, firsts))
        self.read_of_others = set[str]().union(*(attributes(tree, of_self=False) for tree in trees))
        self.read = set[str]().union(*map(attributes, trees))
        self.values_of_names = Counter(
            node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)
        )
        self.calls_of_names = Counter(
            node.func.id
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        )

    def run(self, reference: Callable[[Any], str | None]) -> bool:
        """Take away what is not in use now; say whether there was anything."""
        changed = False
        for definition in self.definitions:
            source = self.sources[id(definition)]
            (node,) = source.tree.body
            if isinstance(node, ast.ClassDef):
                self.class_body(definition, source, node)
            elif isinstance(node, ast.FunctionDef):
                name = reference(definition.thing)
                if name and self.values_of_names[name] == self.calls_of_names[name]:
                    self.unused_parameters((definition.thing, ""), node)
                for inner in functions(node):
                    if inner is not node:
                        self.unused_parameters((definition.thing, f".{inner.name}"), inner)
                self.dead_assignments(definition, source, node, None)
            text = source.apply()
            changed |= text != definition.text
            definition.text = text
        return changed

    def class_body(self, definition: Definition, source: Source, node: ast.ClassDef) -> None:
        """Sweep a class."""
        is_data = any("dataclass" in source.of(d) for d in node.decorator_list)
        of_self = self.family_reads(definition)
        for member in node.body:
            if isinstance(member, ast.FunctionDef):
                if self.is_unused_method(definition, member) or is_bare_init(member):
                    source.remove([member])
                    continue
                if member.name == "__init__":
                    self.unused_parameters((definition.owner("__init__"), "__init__"), member)
                self.dead_assignments(definition, source, member, of_self)
            elif isinstance(member, ast.Assign) and not is_data:
                (target,) = member.targets
                name = target.id if isinstance(target, ast.Name) else "__"
                if name not in self.read and not name.startswith("__"):
                    source.remove([member])

    def family_reads(self, definition: Definition) -> set[str]:
        """Return the attributes of `self` that are read in a class, those above it and those below."""
        found: set[str] = set()
        for other in self.definitions:
            if isinstance(other.thing, type) and (
                issubclass(other.thing, definition.thing) or issubclass(definition.thing, other.thing)
            ):
                found |= attributes(self.sources[id(other)].tree, of_self=True)
        return found

    def is_unused_method(self, definition: Definition, method: ast.FunctionDef) -> bool:
        """Say whether nobody calls a method, not even torch."""
        if method.name in SHOWN:
            return True
        above = [c for c in definition.thing.__mro__ if c.__module__.partition(".")[0] in ("torch", "builtins")]
        return method.name not in self.read and not any(hasattr(c, method.name) for c in above)

    def unused_parameters(self, key: Any, node: ast.FunctionDef) -> None:
        """Note the parameters that a function does not read."""
        read = loads(node)
        starred = {a.arg for a in (node.args.vararg, node.args.kwarg) if a}
        for arg in parameters(node)[1 if key[1] == "__init__" else 0 :]:
            if arg.arg not in read | starred:
                self.facts.gone.setdefault(key, set()).add(arg.arg)

    def dead_assignments(
        self, definition: Definition, source: Source, function: ast.FunctionDef, of_self: set[str] | None
    ) -> None:
        """Take away assignments to what was read before, and is not any more."""
        read, were = loads(function), loads(parse(definition.first))

        def dead(target: ast.expr) -> bool:
            if isinstance(target, ast.Name):
                return target.id not in read and target.id in were
            if not isinstance(target, ast.Attribute) or target.attr not in self.were_read:
                return False
            if of_self is not None and is_self(target.value):
                found = self.instances(definition.thing)
                parts = [getattr(each, target.attr, None) for each in getattr(found, "members", ())]
                others = set() if parts and all(map(does_nothing, parts)) else self.read_of_others
                return (
                    target.attr not in of_self | others
                    and target.attr not in dir(nn.Module)
                    and not self.has_weights(definition, target.attr)
                )
            return target.attr not in self.read

        def is_dead(statement: ast.stmt) -> bool:
            if isinstance(statement, ast.For | ast.If | ast.With) and not getattr(statement, "orelse", None):
                return all(map(is_dead, statement.body))
            return (
                isinstance(statement, ast.Assign)
                and bool(pairs(statement))
                and all(dead(t) for t, _ in pairs(statement))
            )

        def visit(body: Sequence[ast.stmt], needed: bool) -> None:
            if needed and all(map(is_dead, body)):
                source.replace_from_to(*source.block(body), f"{' ' * body[0].col_offset}pass\n")
                return
            for statement in body:
                if is_dead(statement):
                    source.remove([statement])
                    continue
                both = pairs(statement) if isinstance(statement, ast.Assign) else []
                kept = [(t, v) for t, v in both if not dead(t)]
                if len(kept) < len(both):
                    sides = zip(*kept, strict=True)
                    source.replace(statement, " = ".join(", ".join(map(source.of, side)) for side in sides))
                for name in ("body", "orelse", "finalbody"):
                    visit(getattr(statement, name, ()), bool(getattr(statement, name, ())))

        visit(function.body, needed=True)

    def has_weights(self, definition: Definition, name: str) -> bool:
        """Say whether an attribute holds anything that is saved."""
        found = self.instances(definition.thing)
        parts = [getattr(each, name, None) for each in getattr(found, "members", ())]
        return any(isinstance(p, nn.Module) and p.state_dict() for p in parts)


def is_bare_init(method: ast.FunctionDef) -> bool:
    """Say whether a constructor only calls the one above it, with nothing."""
    body = [each for each in method.body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
    return (
        method.name == "__init__"
        and [ast.unparse(each) for each in body] == ["super().__init__()"]
        and (len(parameters(method)) == 1)
    )


def written_into(above: Definition, below: Definition) -> str:
    """Return the class `below` with all that it inherits from `above` written into it."""
    a, b = Source(above.text), Source(below.text)
    upper, lower = a.tree.body[0], b.tree.body[0]
    assert isinstance(upper, ast.ClassDef)
    assert isinstance(lower, ast.ClassDef)
    own = {name for member in lower.body for name in member_names(member)}
    inherited = [m for m in upper.body if member_names(m) and not own & set(member_names(m))]
    documented = lower.body[0] if isinstance(lower.body[0], ast.Expr) else None
    rest = lower.body[1:] if documented else lower.body
    pieces = [b.block([documented])] if documented else []
    text = "".join(b.data[i:j].decode("utf-8") for i, j in pieces)
    for member in inherited:
        begin, end = a.block([member])
        text += "\n" + a.data[begin:end].decode("utf-8")
    for member in rest:
        begin, end = b.block([member])
        text += "\n" + b.data[begin:end].decode("utf-8")
    bases = ", ".join(a.of(base) for base in upper.bases)
    return f"class {lower.name}({bases}):\n{text}"


def member_names(member: ast.stmt) -> list[str]:
    """Return what a member of a class is called."""
    if isinstance(member, ast.FunctionDef):
        return [member.name]
    if isinstance(member, ast.Assign):
        return [t.id for t in member.targets if isinstance(t, ast.Name)]
    return []


def all_functions(text: str) -> list[ast.FunctionDef]:
    """Return the functions in a text."""
    return functions(parse(text))
