"""Definitions that only hand on to one other are written into it: a maker into what it makes, a name into its value.

This comes last, when nothing is left to be found out: from here on the printed signatures are no longer those of the
package.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from typing import Any

from torch import nn

from hornbook.trace import trees

Trees = dict[str, Any]
"""The definitions, by the names that stand for them."""

WIDEST = 108  # columns of a statement that something was written into, without its indent


def merged(forest: Trees, tight: bool) -> Trees:
    """Return definitions with all written into one another that reads better so, each step as often as it can be.

    Where it is tight, shapes on the way are left out too.
    """
    forest = copy.deepcopy(forest)
    for step in (outer_class, maker, partial(local_name, tight=tight), one_expression):
        while step(forest):
            pass
    return forest


def called_in(forest: Trees, token: str) -> list[tuple[str, ast.Call]]:
    """Return the calls of a name, and in which definition; nothing if it also stands elsewhere."""
    found = [(owner, n) for owner, tree in forest.items() for n in trees.calls(tree) if ast.unparse(n.func) == token]
    return found if "." in token or len(found) == trees.names(forest.values()).count(token) else []


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
                if not (isinstance(last, ast.Return) and last.value is call and takes_in(init, home, function, call)):
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
        init = trees.body_of(node)[0] if isinstance(node, ast.ClassDef) and len(trees.body_of(node)) == 1 else None
        if not isinstance(init, ast.FunctionDef) or len(init.args.args) > 1 or len(init.body) > 1:
            continue
        made, calls = trees.result_of(init), called_in(forest, token)
        if calls and isinstance(made, ast.Call) and ast.unparse(made.func) == "super().__init__":
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
    """A function of one expression that is called in one place, or a method that its own class calls in one."""
    for token, node in forest.items():
        function: Any
        for function in node.body if isinstance(node, ast.ClassDef) else [node]:
            if not trees.result_of(function) or function.decorator_list:
                continue
            found = called_in(forest, token)
            if is_method := function is not node:
                found = called_in({token: node}, f"self.{function.name}") if is_private(forest, function.name) else []
            if len(found) == 1 and put_in(forest, *found[0], function):
                if is_method:
                    node.body.remove(function)
                else:
                    del forest[token]
                return True
    return False


def is_private(forest: Trees, name: str) -> bool:
    """Say whether a method is asked for in one place only, and no other has its name."""
    nodes = [n for tree in forest.values() for n in ast.walk(tree)]
    return [getattr(n, "attr", getattr(n, "name", "")) for n in nodes].count(name) == 2 and not hasattr(nn.Module, name)


def put_in(forest: Trees, owner: str, call: ast.Call, function: Any) -> bool:
    """Write the result of a function into a definition, where it is called; say whether that can be done."""
    words = [arg.arg for arg in trees.parameters(function) if arg.arg != "self"]
    once = all(trees.names(function.body).count(word) <= 1 for word in words)
    simple = all(isinstance(each, ast.Name | ast.Constant | ast.Attribute) for each in call.args)
    statement: Any = trees.body_of(function)[0]
    given = dict(zip(words, call.args, strict=False))
    new = trees.substitute(statement, lambda name: given.get(name.id)).value
    home: Any = next(n for n in ast.walk(forest[owner]) if isinstance(n, ast.stmt) and call in own_expressions(n))
    fits = width(home) + width(new) - width(call) <= WIDEST and not (statement.note and home.note)
    if not fits or call.keywords or len(call.args) != len(words) or not (simple or once):
        return False
    home.note, forest[owner] = home.note or statement.note, put(forest[owner], call, new)
    return True


def own_expressions(statement: ast.stmt) -> list[ast.AST]:
    """Return all that a statement reads itself, not what stands in its body."""
    children = [c for c in ast.iter_child_nodes(statement) if not isinstance(c, ast.stmt | ast.ExceptHandler)]
    return [n for child in children for n in ast.walk(child)]


def local_name(forest: Trees, tight: bool) -> bool:
    """A name in a function that only the very next statement reads, once, or reads once and assigns anew."""
    for function in (f for node in forest.values() for f in trees.functions(node)):
        stores = trees.names([function], ast.Store)
        for block in [n.body for n in ast.walk(function) if isinstance(getattr(n, "body", None), list)]:  # type: ignore[attr-defined]
            for this, following in pairwise(block):
                names = [getattr(to, "id", "") for to, _ in trees.pairs(this)]
                again = [getattr(to, "id", "") for to, _ in trees.pairs(following)] == names
                shape = tight and this.note.startswith("(") and following.note.startswith("(")
                if len(names) != 1 or not (name := names[0]) or hasattr(following, "body") or (this.note and not shape):
                    continue
                looped = trees.names(n for n in ast.walk(following) if isinstance(n, trees.INNER))
                elsewhere = [] if again else [*stores, *trees.names([function])]
                if trees.names([following]).count(name) != 1 or name in looped or elsewhere.count(name) > 2:
                    continue
                new = trees.substitute(following, lambda node: this.value if node.id == name else None)  # noqa: B023
                if width(new) <= WIDEST:
                    block[block.index(this) : block.index(this) + 2] = [new]
                    return True
    return False
