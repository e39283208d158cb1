"""Definitions that only hand on to one other are written into it: a maker into what it makes, a name into its value.

This comes last, when nothing is left to be found out: from here on the printed signatures are no longer those of the
package.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from hornbook.trace import trees

Trees = dict[str, Any]
"""The definitions, by the names that stand for them."""

WIDEST = 105  # columns of a statement that something was written into, without its indent


def merged(forest: Trees) -> Trees:
    """Return definitions with all written into one another that reads better so, each step as often as it can be."""
    forest = copy.deepcopy(forest)
    for step in (outer_class, maker, local_name, one_expression):
        while step(forest):
            pass
    return forest


def called_in(forest: Trees, token: str) -> list[tuple[str, ast.Call]]:
    """Return the calls of a name, and in which definition; nothing if it also stands elsewhere."""
    found = [(owner, n) for owner, tree in forest.items() for n in trees.calls(tree) if ast.unparse(n.func) == token]
    return found if len(found) == trees.names(forest.values()).count(token) else []


def put(tree: Any, old: ast.AST, new: ast.AST) -> Any:
    """Return a tree with one node in the place of another."""

    class Put(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            return new if node is old else self.generic_visit(node)

    return Put().visit(tree)


def rename(nodes: Iterable[ast.AST], old: str, new: str) -> None:
    """Let one name stand wherever another does."""
    for node in (n for tree in nodes for n in ast.walk(tree)):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = new


def maker(forest: Trees) -> bool:
    """A function that makes all objects of a class: the class makes itself as well."""
    for token, node in forest.items():
        init = next((f for f in trees.functions(node) if f.name == "__init__"), None)
        found = called_in(forest, token) if init and isinstance(node, ast.ClassDef) else []
        for owner, call in found if len(found) == 1 else ():
            home = forest[owner]
            for function in trees.functions(home):
                last = function.body[-1]
                returned = last.value if isinstance(last, ast.Return) else None
                if returned is not call or not takes_in(init, home, function, call):
                    continue
                if function is home:
                    del forest[owner]
                    rename(forest.values(), owner, token)
                else:
                    trees.edit_bodies(home, lambda body: [each for each in body if each is not function])  # noqa: B023
                    rename([home], function.name, token)
                return True
    return False


def outer_class(forest: Trees) -> bool:
    """A class that only says how one from outside is made: that one, made so."""
    for token, node in forest.items():
        calls = called_in(forest, token)
        init = trees.body_of(node)[0] if isinstance(node, ast.ClassDef) and len(trees.body_of(node)) == 1 else None
        if not calls or not isinstance(init, ast.FunctionDef) or len(init.args.args) > 1 or len(init.body) > 1:
            continue
        made = trees.result_of(init)
        if isinstance(made, ast.Call) and ast.unparse(made.func) == "super().__init__":
            for owner, call in calls:
                new = ast.Call(copy.deepcopy(node.bases[0]), copy.deepcopy(made.args), copy.deepcopy(made.keywords))
                forest[owner] = put(forest[owner], call, new)
            del forest[token]
            return True
    return False


def takes_in(init: Any, home: ast.AST, function: ast.FunctionDef, call: ast.Call) -> bool:
    """Let a constructor do what `function` did before it called it; say whether that can be done."""
    words = [arg.arg for arg in trees.parameters(init)][1:]
    given = dict(zip(words, call.args, strict=False))
    own, first = trees.stored(function), trees.body_of(init)[0]
    outer = {name for f in trees.functions(home) if f is not function for name in trees.stored(f)} - own
    hidden = {name for name in own & trees.stored(init) if not (name in given and ast.unparse(given[name]) == name)}
    clash = outer & set(trees.names([function])) or hidden - {arg.arg for arg in trees.parameters(function)}
    fits = len(given) == len(words) and not call.keywords and not function.decorator_list
    if clash or not fits or ast.unparse(first) != "super().__init__()":
        return False
    begin = init.body.index(first) + 1
    rest = [trees.substitute(each, lambda name: given.get(name.id)) for each in init.body[begin:]]
    init.body[begin:] = [*trees.body_of(function)[:-1], *rest]
    init.args.args[1:] = function.args.args
    return True


def width(node: ast.AST) -> int:
    """Return how many columns the first line of a statement takes, when all names are given."""
    return len(re.sub(r"\bhb\d+_", "", ast.unparse(node).split("\n")[0]))


def one_expression(forest: Trees) -> bool:
    """A function of one expression that is called in one place."""
    for token, node in forest.items():
        result = trees.result_of(node)
        if not result or node.decorator_list or len(found := called_in(forest, token)) != 1:
            continue
        ((owner, call),) = found
        words = [arg.arg for arg in trees.parameters(node)]
        once = all(trees.names([result]).count(word) <= 1 for word in words)
        simple = all(isinstance(each, ast.Name | ast.Constant | ast.Attribute) for each in call.args)
        if call.keywords or len(call.args) != len(words) or not (simple or once):
            continue
        given = dict(zip(words, call.args, strict=True))
        new = trees.substitute(ast.Expr(result), lambda name: given.get(name.id)).value  # noqa: B023
        home = next(n for n in ast.walk(forest[owner]) if isinstance(n, ast.stmt) and call in own_expressions(n))
        note = trees.body_of(node)[0].note  # type: ignore[attr-defined]
        if width(home) + width(new) - width(call) <= WIDEST and not (note and home.note):  # type: ignore[attr-defined]
            home.note = home.note or note  # type: ignore[attr-defined]
            forest[owner] = put(forest[owner], call, new)
            del forest[token]
            return True
    return False


def own_expressions(statement: ast.stmt) -> list[ast.AST]:
    """Return all that a statement reads itself, not what stands in its body."""
    children = [c for c in ast.iter_child_nodes(statement) if not isinstance(c, ast.stmt | ast.ExceptHandler)]
    return [n for child in children for n in ast.walk(child)]


def local_name(forest: Trees) -> bool:
    """A name in a function that only the very next statement reads, once."""
    for function in (f for node in forest.values() for f in trees.functions(node)):
        stores = trees.names([function], ast.Store)
        for block in [n.body for n in ast.walk(function) if isinstance(getattr(n, "body", None), list)]:  # type: ignore[attr-defined]
            for this, following in pairwise(block):
                target, value = [*trees.pairs(this), (None, None)][0]
                name = getattr(target, "id", "") if len(trees.pairs(this)) == 1 else ""
                if not name or this.note or hasattr(following, "body") or stores.count(name) != 1:
                    continue
                looped = trees.names(n for n in ast.walk(following) if isinstance(n, trees.INNER))
                if [*looped, *trees.names([function])].count(name) != 1 or name not in trees.names([following]):
                    continue
                new = trees.substitute(following, lambda node: value if node.id == name else None)  # noqa: B023
                if width(new) <= WIDEST:
                    block[block.index(this) : block.index(this) + 2] = [new]
                    return True
    return False
