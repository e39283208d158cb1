"""Source as syntax trees that keep their comments: how they are read, and what is asked of them.

A statement's comments lie beside it: `above` (lines) and `note` (what stands behind it); a constant keeps the `text` it
was written with. `writing` puts all of it on paper again.
"""

from __future__ import annotations

import ast
import copy
import io
import re
import tokenize
from collections.abc import Callable, Container, Iterable
from typing import Any

INNER = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def read(text: str) -> Any:
    """Return the one statement of a text, without annotations but those of a dataclass's fields."""
    tree = ast.parse(text)
    statements: list[Any] = sorted((n for n in ast.walk(tree) if isinstance(n, ast.stmt)), key=lambda n: n.lineno)
    for each in statements:
        each.above, each.note = [], ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or re.match("# (type:|noqa)", token.string):
            continue
        line, words = token.start[0], token.string
        if token.line[: token.start[1]].strip():
            owner = [each for each in statements if each.lineno <= line][-1]
            owner.note = f"{owner.note}; {words[2:]}" if owner.note else words[2:]
        elif below := [each for each in statements if each.lineno > line]:
            below[0].above.append(words)
    return Bare(text).visit(tree).body[0]


class Bare(ast.NodeTransformer):
    """Takes annotations away, and notes how constants were written."""

    def __init__(self, text: str) -> None:
        self.text, self.fields = text, list[ast.AST]()

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if any("dataclass" in ast.unparse(each) for each in node.decorator_list):
            self.fields += node.body
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: Any) -> ast.AST | None:
        self.generic_visit(node)
        if node in self.fields or not node.value:
            return node if node in self.fields else None
        plain: Any = ast.copy_location(ast.Assign([node.target], node.value), node)
        plain.above, plain.note = node.above, node.note
        return plain

    def visit_Constant(self, node: Any) -> ast.AST:
        node.text = ast.get_source_segment(self.text, node)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node  # what stands inside of it is not written by itself


def expression(text: str) -> ast.expr:
    """Return the tree of an expression."""
    return ast.parse(text, mode="eval").body


def substitute(node: Any, new: Callable[[ast.Name], ast.AST | None]) -> Any:
    """Return a copy in which `new` says what stands for each name that is read; None leaves it."""

    class Put(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.AST:
            return (copy.deepcopy(new(name)) if isinstance(name.ctx, ast.Load) else None) or name

    return Put().visit(copy.deepcopy(node))


def body_of(node: Any) -> list[ast.stmt]:
    """Return what stands in a definition, without its docstring."""
    body: list[ast.stmt] = node.body
    return body[1:] if ast.get_docstring(node) else body


def result_of(node: Any) -> ast.expr | None:
    """Return the expression that is all of a function."""
    body = body_of(node) if isinstance(node, ast.FunctionDef) else []
    return body[0].value if len(body) == 1 and isinstance(body[0], ast.Return | ast.Expr) else None


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    """Return all functions in a tree, the inner ones too."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def parameters(function: ast.FunctionDef | ast.Lambda) -> list[ast.arg]:
    """Return a function's parameters in order; the starred ones come last."""
    a = function.args
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]


def defaults(function: ast.FunctionDef) -> dict[str, ast.expr]:
    """Return the defaults of a function's parameters, by name."""
    a = function.args
    last = [*a.posonlyargs, *a.args][::-1]
    found = {arg.arg: value for arg, value in zip(last, a.defaults[::-1], strict=False)}
    return found | {arg.arg: value for arg, value in zip(a.kwonlyargs, a.kw_defaults, strict=True) if value}


def drop_parameters(function: ast.FunctionDef, dropped: Container[str]) -> None:
    """Take parameters out of a function's signature."""
    a, values = function.args, defaults(function)
    for group in (a.posonlyargs, a.args, a.kwonlyargs):
        group[:] = [arg for arg in group if arg.arg not in dropped]
    a.defaults = [values[arg.arg] for arg in (*a.posonlyargs, *a.args) if arg.arg in values]
    a.kw_defaults = [values.get(arg.arg) for arg in a.kwonlyargs]


def names(nodes: Iterable[ast.AST], context: type = ast.Load) -> list[str]:
    """Return the names that are read, or with `ast.Store` assigned, as often as they are."""
    found = [n for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)]
    return [n.id for n in found if isinstance(n.ctx, context)]


def stored(function: ast.FunctionDef) -> set[str]:
    """Return the names that a function binds: parameters, what it assigns, and functions in it."""
    inner = {each.name for each in functions(function) if each is not function}
    return {arg.arg for arg in parameters(function)} | set(names([function], ast.Store)) | inner


def assigned_once(function: ast.FunctionDef) -> set[str]:
    """Return the names that a function assigns exactly once, and nothing else binds."""
    found = names([function], ast.Store)
    bound = {arg.arg for f in functions(function) for arg in parameters(f)}
    return {name for name in found if found.count(name) == 1} - bound


def attributes(tree: ast.AST, of_self: bool | None = None) -> set[str]:
    """Return the attributes that are read: all, those of `self`, or those of others."""
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)]
    return {n.attr for n in found if of_self in (None, is_self(n.value))}


def is_self(node: ast.AST) -> bool:
    """Say whether an expression is `self`."""
    return isinstance(node, ast.Name) and node.id == "self"


def calls(tree: ast.AST) -> list[ast.Call]:
    """Return the calls of names and of attributes."""
    return [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name | ast.Attribute)]


def brought(call: Any) -> list[tuple[str, ast.expr]]:
    """Return what a call brings for which parameter; `places` of the call says what its bare arguments are for."""
    return [*zip(call.places, call.args, strict=True), *((word.arg, word.value) for word in call.keywords)]


def pairs(node: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    """Return what is assigned to what: of `a, b = x, y` each by itself; nothing for another statement."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return []
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def assign(node: ast.Assign, kept: list[tuple[ast.expr, ast.expr]]) -> None:
    """Let an assignment be of these pairs."""
    targets, values = map(list, zip(*kept, strict=True))
    node.targets = targets if len(kept) == 1 else [ast.Tuple(targets, ast.Store())]
    node.value = values[0] if len(kept) == 1 else ast.Tuple(values, ast.Load())


def edit_bodies(tree: ast.AST, edit: Callable[[list[ast.stmt]], list[ast.stmt]]) -> None:
    """Let `edit` return what is left of each body in a tree, the innermost first; what must not be empty passes."""
    for child in ast.iter_child_nodes(tree):
        edit_bodies(child, edit)
    for field in ("body", "orelse", "finalbody"):
        if isinstance(old := getattr(tree, field, None), list) and old:
            setattr(tree, field, edit(old) or ([ast.Pass()] if field == "body" else []))
