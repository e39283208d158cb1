"""A definition's source, rewritten for one model and one recipe: what is known is put in, what is not in use goes.

Each pass makes the outermost edits and is repeated until none is left. A test that is decided leaves the branch that is
taken; a setting becomes a name at the top of the file; a part that hands on what it is given, and an object that does
nothing, vanish with whatever was only there for them; so do the guards that only raise.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from types import FunctionType, ModuleType
from typing import Any

from torch import nn

from hornbook.errors import UsageError
from hornbook.trace.calls import Calls
from hornbook.trace.definitions import Definition, Key, Setting, World, quoted
from hornbook.trace.edits import defaults, functions, once, pairs, stored, strip_signature
from hornbook.trace.values import (
    UNKNOWN,
    AnyOf,
    Env,
    Fixed,
    Method,
    does_nothing,
    is_settled,
    makes_nothing,
    stand_in,
)


class Pass(Calls):
    """One pass over one definition."""

    def __init__(self, definition: Definition, world: World, drops: bool = False) -> None:
        """`drops`: change nothing but take away the parameters that are not needed, and what calls bring for them."""
        super().__init__(definition, world)
        self.drops = drops
        self.once: set[str] = set()

    def run(self) -> bool:
        """Rewrite the definition; say whether anything changed."""
        (node,) = self.source.tree.body
        if isinstance(node, ast.ClassDef):
            for base, kind in zip(node.bases, self.definition.bases, strict=False):  # of `class A:`, none
                if self.world.is_ours(kind) and (text := self.world.reference(kind)) != self.source.of(base):
                    self.source.replace(base, text or "")
            for expression in node.decorator_list:
                self.expression(expression, {})
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    owner = self.definition.owner(member.name)
                    self.function(member, (owner, member.name), {}, self.world.instances(self.definition.thing))
        elif isinstance(node, ast.FunctionDef):
            self.function(node, (self.definition.thing, ""), {})
        else:
            thing = self.definition.thing
            self.expression(node, {"self": self.world.groups[thing.group]} if isinstance(thing, Setting) else {})
        text = self.source.apply()
        changed = text != self.definition.text
        self.definition.text = text
        return changed

    def function(self, node: ast.FunctionDef, key: Key, outer: Env, self_is: Any = None) -> None:
        """Rewrite a function."""
        env = {**outer, **dict.fromkeys(stored(node), UNKNOWN)}
        for expression in node.decorator_list:
            self.expression(expression, {})
        self.from_defaults(node, key)
        env |= self.facts.known.get(key, {})
        if self.drops and self.facts.new(key):
            strip_signature(self.source, node, self.facts.new(key).__contains__)
        if self_is is not None and node.args.args:
            env[node.args.args[0].arg] = self_is
        self.once = self.once | once(node) if outer else once(node)
        self.nested = {f.name: f for f in functions(node) if f is not node} | (self.nested if outer else {})
        self.body(node.body, env)

    def from_defaults(self, node: ast.FunctionDef, key: Key) -> None:
        """A parameter whose default does nothing never gets anything else: no cache is ever passed."""
        for name, default in defaults(node).items():
            if does_nothing(self.values.of(default, {})):
                self.facts.known.setdefault(key, {})[name] = self.values.of(default, {})
                self.facts.gone.setdefault(key, set()).add(name)

    # statements

    def body(self, statements: Sequence[ast.stmt], env: Env) -> None:
        """Rewrite statements in order: what one assigns is known to the next."""
        for i, statement in enumerate(statements):
            if not self.drops and self.vanishes(statement, env):
                self.source.remove([statement])
                continue
            self.statement(statement, env)
            if isinstance(statement, ast.Return) and statements[i + 1 :] and not self.drops:
                self.source.remove(statements[i + 1 :])
                return

    def vanishes(self, statement: ast.stmt, env: Env, guarded: bool = False) -> bool:
        """Say whether a statement does nothing here, or only guards."""
        if isinstance(statement, ast.Assert) or (guarded and isinstance(statement, ast.Raise)):
            return True
        if isinstance(statement, ast.If) and not statement.orelse:
            test = self.values.of(statement.test, env)
            if isinstance(statement.body[-1], ast.Raise) and all(
                isinstance(e, ast.Assign) for e in statement.body[:-1]
            ):
                return True
            return all(self.vanishes(each, env, True) for each in statement.body) or (test is not UNKNOWN and not test)
        if isinstance(statement, ast.For):
            return all(self.vanishes(each, env, True) for each in statement.body)
        if isinstance(statement, ast.Expr) and isinstance(call := statement.value, ast.Call):
            if isinstance(call.func, ast.Attribute) and does_nothing(self.values.of(call.func.value, env)):
                return True
            target = self.target(call, env)
            return target is not None and self.world.is_empty(target[0])
        return False

    def statement(self, node: ast.stmt, env: Env) -> None:
        """Rewrite one statement."""
        if isinstance(node, ast.FunctionDef):
            self.function(node, (self.definition.thing, f".{node.name}"), env)
        elif isinstance(node, ast.If) and not self.drops:
            self.if_statement(node, env)
        elif isinstance(node, ast.With) and self.is_idle(node, env) and not self.drops:
            self.source.unwrap(node, node.body)
        elif isinstance(node, ast.For):
            self.expression(node.iter, env)
            if isinstance(node.target, ast.Name):
                env = {**env, node.target.id: self.member(node.iter, env)}
            self.body(node.body, env)
        elif isinstance(node, ast.With | ast.While | ast.Try | ast.If):
            for child in ast.iter_child_nodes(node):
                if not isinstance(child, ast.stmt | ast.ExceptHandler):
                    self.expression(child, env)
            for inside in (node, *getattr(node, "handlers", ())):
                for name in ("body", "orelse", "finalbody"):
                    self.body(getattr(inside, name, ()), env)
        else:
            if isinstance(node, ast.Assign):
                self.learn(node, env)
            self.alone = node.value if isinstance(node, ast.Assign | ast.Return) else None
            for child in ast.iter_child_nodes(node):
                self.expression(child, env)

    def if_statement(self, node: ast.If, env: Env) -> None:
        """Keep the branch that is taken, where that is known."""
        test = self.values.of(node.test, env)
        branch = node.body if test is not UNKNOWN and test else node.orelse
        is_elif = self.source.of(node).startswith("elif")
        if test is UNKNOWN or (is_elif and isinstance(test, AnyOf)):
            self.expression(node.test, env)
            self.body(node.body, env)
            self.body(node.orelse, env)
        elif is_elif:
            raise UsageError(
                f"{self.definition.first.splitlines()[0]} has an elif that is decided before it runs: write it as an "
                "if inside the else, for `source` to print it."
            )
        elif branch and isinstance(branch[0], ast.If) and self.source.of(branch[0]).startswith("elif"):
            end = self.source.block([node])[1]
            text = self.source.data[self.source.span(branch[0])[0] : end].decode("utf-8")
            self.source.replace_from_to(self.source.span(node)[0], end, text.removeprefix("el"))
        else:
            self.source.unwrap(node, branch)

    def is_idle(self, node: ast.With, env: Env) -> bool:
        """Say whether a `with` changes nothing."""
        calls = [item.context_expr for item in node.items]
        return all(isinstance(c, ast.Call) and makes_nothing(self.values.of(c.func, env)) for c in calls)

    def learn(self, node: ast.Assign, env: Env) -> None:
        """Remember what an assignment gives to names that are assigned once."""
        for target, value in pairs(node):
            if isinstance(target, ast.Name) and target.id in self.once:
                found = self.values.of(value, env)
                if isinstance(found, AnyOf) or (is_settled(found) and not isinstance(value, ast.Constant)):
                    env[target.id] = found

    def member(self, node: ast.AST, env: Env) -> Any:
        """Return what a loop's variable is: one of the modules of a list."""
        found = self.values.of(node, env)
        if isinstance(found, AnyOf) and found.kind is nn.ModuleList:
            return stand_in(module for each in found.members for module in each)
        return UNKNOWN

    # expressions

    def expression(self, node: ast.AST, env: Env) -> None:
        """Rewrite an expression, the outermost that can be."""
        if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            env = self.inner(node, env)
        if self.drops:
            if isinstance(node, ast.Call) and (target := self.target(node, env)):
                self.drop(node, target, env)
                return
        elif isinstance(node, ast.Constant):
            return
        elif isinstance(node, ast.IfExp):
            test = self.values.of(node.test, env)
            if test is not UNKNOWN:
                self.source.replace(node, self.source.of(node.body if test else node.orelse))
                return
        elif isinstance(node, ast.BoolOp) and self.bool_op(node, env):
            return
        elif isinstance(node, ast.Attribute | ast.Name | ast.Call | ast.Compare):
            if isinstance(getattr(node, "ctx", None), ast.Store):
                if not isinstance(node, ast.Name):
                    self.expression(node.value, env)  # type: ignore[union-attr]
                return
            if (text := self.text_for(node, env)) is not None:
                if text != self.source.of(node):
                    self.source.replace(node, text)
                return
            if isinstance(node, ast.Call) and self.call(node, env):
                return
        for child in ast.iter_child_nodes(node):
            self.expression(child, env)

    def inner(self, node: ast.AST, env: Env) -> Env:
        """Return what is known inside of a lambda or a comprehension."""
        if isinstance(node, ast.Lambda):
            return {**env, **{arg.arg: UNKNOWN for arg in ast.walk(node.args) if isinstance(arg, ast.arg)}}
        for loop in node.generators:  # type: ignore[attr-defined]
            names = [n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)]
            value = self.member(loop.iter, env) if isinstance(loop.target, ast.Name) else UNKNOWN
            env = {**env, **dict.fromkeys(names, value)}
        return env

    def bool_op(self, node: ast.BoolOp, env: Env) -> bool:
        """Leave out the operands that decide nothing, and what stands behind one that decides all."""
        stops = isinstance(node.op, ast.Or)
        left: list[ast.expr] = []
        for each in node.values:
            value = self.values.of(each, env)
            if value is UNKNOWN or isinstance(value, AnyOf):
                left.append(each)
            elif bool(value) == stops:
                left.append(each)
                break
        left = left or node.values[-1:]
        if left == node.values:
            return False
        texts = [self.source.of(each) for each in left]
        if len(left) > 1:
            texts = [f"({t})" if isinstance(n, ast.BoolOp | ast.IfExp) else t for t, n in zip(texts, left, strict=True)]
        self.source.replace(node, (" or " if stops else " and ").join(texts))
        return True

    def text_for(self, node: ast.expr, env: Env) -> str | None:
        """Return the source that can stand for an expression whose value is known."""
        if isinstance(node, ast.Attribute):
            base = self.values.of(node.value, env)
            text = self.world.constant(base, node.attr) if isinstance(base, ModuleType) else None
            if isinstance(base, ModuleType) or (text := self.world.setting(base, node.attr)):
                return text
        if isinstance(node, ast.Name):
            if node.id not in env:
                return self.world.named(self.definition, node.id)
            if isinstance(fixed := env[node.id], Fixed):
                return fixed.token
        value = self.values.of(node, env)
        if isinstance(node, ast.Attribute | ast.Name):
            if value is UNKNOWN or isinstance(value, AnyOf | Method):
                return None
            if isinstance(value, type | FunctionType):
                return self.world.reference(value)
        if value is None or (isinstance(value, bool | str | int) and value is not UNKNOWN):
            is_fixed = not isinstance(node, ast.Name) or node.id in env
            return quoted(value) if is_fixed else None
        return None
