"""One pass over a definition: what is known is put in, and what then does nothing goes.

A test that is decided leaves the branch that is taken; a setting becomes a name at the top of the file; a part that
hands on what it is given, and an object that does nothing, vanish with whatever was only there for them; so do the
guards that only raise. Passes are repeated until none finds anything.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from torch import nn

from hornbook.errors import UsageError
from hornbook.trace import trees, values
from hornbook.trace.origins import Definition, Key, Setting, is_ours

if TYPE_CHECKING:
    from hornbook.trace.whole import Program


class Rewrite:
    """One pass over one definition."""

    def __init__(self, definition: Definition, program: Program) -> None:
        self.definition, self.program = definition, program
        self.values = program.values(definition)
        self.nested: dict[str, ast.FunctionDef] = {}
        self.once: set[str] = set()

    def run(self) -> None:
        """Rewrite the definition where it is."""
        node, thing = self.definition.node, self.definition.thing
        if isinstance(node, ast.ClassDef):
            node.decorator_list = [self.expression(each, {}) for each in node.decorator_list]
            for key, method in self.definition.functions():
                self.function(method, key, {}, self.program.instances(thing))
        elif isinstance(node, ast.FunctionDef):
            self.function(node, (thing, ""), {})
        else:
            self.parts(node, {"self": self.program.groups[thing.group]} if isinstance(thing, Setting) else {})

    def function(self, node: ast.FunctionDef, key: Key, outer: values.Env, self_is: Any = None) -> None:
        """Rewrite a function."""
        for name, default in trees.defaults(node).items():
            if values.does_nothing(value := self.values.of(default, {})):  # no cache is ever passed
                self.program.settle(key, name, value)
        env = {**outer, **dict.fromkeys(trees.stored(node), values.UNKNOWN), **self.program.known.get(key, {})}
        if self_is is not None and node.args.args:
            env[node.args.args[0].arg] = self_is
        trees.drop_parameters(node, {name for where, name in self.program.gone if where == key})
        node.decorator_list = [self.expression(each, {}) for each in node.decorator_list]
        self.once = trees.assigned_once(node) | (self.once if outer else set())
        self.nested = {f.name: f for f in trees.functions(node) if f is not node} | (self.nested if outer else {})
        node.body = self.body(node.body, env) or [ast.Pass()]
        if "ids" in trees.names([node]) and "ids" not in trees.stored(node):  # what a cache knows: the caller brings it
            node.args.args.append(ast.arg("ids"))

    # statements

    def body(self, statements: Sequence[ast.stmt], env: values.Env) -> list[ast.stmt]:
        """Rewrite statements in order: what one assigns is known to the next. Nothing comes after a return."""
        kept: list[ast.stmt] = []
        for each in statements:
            if not self.vanishes(each, env):
                kept += self.statement(each, env)
            if kept and isinstance(kept[-1], ast.Return):
                break
        return kept

    def vanishes(self, statement: ast.stmt, env: values.Env, guarded: bool = False) -> bool:
        """Say whether a statement does nothing here, or only guards."""
        if (pairs := trees.pairs(statement)) and all(ast.unparse(to) == ast.unparse(value) for to, value in pairs):
            return True
        if isinstance(statement, ast.Assert) or (guarded and isinstance(statement, ast.Raise)):
            return True
        if isinstance(statement, ast.If) and not statement.orelse:
            *before, last = statement.body
            if isinstance(last, ast.Raise) and all(isinstance(each, ast.Assign) for each in before):
                return True
        if isinstance(statement, ast.If | ast.For) and not statement.orelse:
            return all(self.vanishes(each, env, True) for each in statement.body)
        if isinstance(statement, ast.Expr) and isinstance(call := statement.value, ast.Call):
            if isinstance(call.func, ast.Attribute) and values.does_nothing(self.values.of(call.func.value, env)):
                return True
            self.mark(call, env)
            return self.program.is_empty(getattr(call, "runs", None))
        return False

    def statement(self, node: Any, env: values.Env) -> list[ast.stmt]:
        """Rewrite one statement; return what it has become."""
        if isinstance(node, ast.FunctionDef):
            self.function(node, (self.definition.thing, f".{node.name}"), env)
            return [node]
        if isinstance(node, ast.If) and (test := self.values.of(node.test, env)) is not values.UNKNOWN:
            return self.unwrapped(node, node.body if test else node.orelse, env)
        if isinstance(node, ast.With) and all(
            isinstance(call := item.context_expr, ast.Call) and values.is_idle(self.values.of(call.func, env))
            for item in node.items
        ):
            return self.unwrapped(node, node.body, env)
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            env = {**env, node.target.id: self.member(node.iter, env)}
        for target, value in trees.pairs(node):
            if isinstance(target, ast.Name) and target.id in self.once and not isinstance(value, ast.Constant):
                found = self.values.of(value, env)
                if isinstance(found, values.AnyOf) or values.is_settled(found):
                    env[target.id] = found
        self.parts(node, env)
        for target, value in trees.pairs(node):
            if isinstance(target, ast.Name) and target.id in self.once and isinstance(value, ast.Name):
                env[target.id] = self.program.fixed(value.id) or env[target.id]
        return [node]

    def unwrapped(self, node: Any, inside: list[ast.stmt], env: values.Env) -> list[ast.stmt]:
        """Return what is inside a statement, in its place."""
        kept: list[Any] = self.body(inside, env)
        if kept:
            kept[0].above = [*node.above, *kept[0].above]
            node.above = []
        return kept

    def parts(self, node: ast.AST, env: values.Env) -> None:
        """Rewrite all that a node is made of."""
        for field, old in ast.iter_fields(node):
            if isinstance(old, ast.expr):
                setattr(node, field, self.expression(old, env))
            elif isinstance(old, list) and old and isinstance(old[0], ast.stmt):
                kept = self.body(old, env)
                setattr(node, field, kept or ([ast.Pass()] if field == "body" else []))
            else:
                for i, each in enumerate(old if isinstance(old, list) else [old]):
                    if isinstance(each, ast.expr):
                        old[i] = self.expression(each, env)
                    elif isinstance(each, ast.AST):
                        self.parts(each, env)

    # expressions

    def member(self, node: ast.AST, env: values.Env) -> Any:
        """Return what a loop's variable is: one of the modules of a list."""
        found = self.values.of(node, env)
        if isinstance(found, values.AnyOf) and found.kind is nn.ModuleList:
            return values.stand_in(module for each in found.members for module in each)
        return values.UNKNOWN

    def expression(self, node: ast.expr, env: values.Env) -> ast.expr:
        """Rewrite an expression; return what it has become."""
        if isinstance(node, trees.INNER):
            env = self.inner(node, env)
        if isinstance(node, ast.IfExp) and (test := self.values.of(node.test, env)) is not values.UNKNOWN:
            return self.expression(node.body if test else node.orelse, env)
        if isinstance(node, ast.BoolOp):
            self.shorten(node, env)
            if len(node.values) == 1:
                return self.expression(node.values[0], env)
        is_stored = isinstance(getattr(node, "ctx", None), ast.Store)
        if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Compare) and not is_stored:
            if (new := self.known(node, env)) is not None:
                return new
            if isinstance(node, ast.Call):
                return self.call(node, env)
        self.parts(node, env)
        return node

    def inner(self, node: Any, env: values.Env) -> values.Env:
        """Return what is known inside of a lambda or a comprehension."""
        if isinstance(node, ast.Lambda):
            return {**env, **{arg.arg: values.UNKNOWN for arg in trees.parameters(node)}}
        for loop in node.generators:
            value = self.member(loop.iter, env) if isinstance(loop.target, ast.Name) else values.UNKNOWN
            env = {**env, **dict.fromkeys(trees.names([loop.target], ast.Store), value)}
        return env

    def shorten(self, node: ast.BoolOp, env: values.Env) -> None:
        """Leave out the operands that decide nothing, and what stands behind one that decides all."""
        left: list[ast.expr] = []
        for each in node.values:
            value = self.values.of(each, env)
            decides = value is not values.UNKNOWN and bool(value) == isinstance(node.op, ast.Or)
            if value is values.UNKNOWN or isinstance(value, values.AnyOf) or decides:
                left.append(each)
            if decides and not isinstance(value, values.AnyOf):
                break
        node.values = left or node.values[-1:]

    def known(self, node: ast.expr, env: values.Env) -> ast.expr | None:
        """Return what can stand for an expression whose value is known."""
        if isinstance(node, ast.Attribute):
            base = self.values.of(node.value, env)
            if node.attr == "ids" and values.does_nothing(base):
                return ast.Name("ids", ast.Load())
            if isinstance(base, ModuleType):
                return self.program.constant(base, node.attr)
            if (setting := self.program.setting(base, node.attr)) is not None:
                return setting
        if isinstance(node, ast.Name):
            if node.id not in env:
                return self.program.named(self.definition, node.id)
            if isinstance(fixed := env[node.id], values.Fixed):
                return trees.expression(fixed.text)
        value = self.values.of(node, env)
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(value, type | FunctionType):
            return self.program.reference(value)
        is_word = value is None or isinstance(value, bool | str | int)
        return ast.Constant(value) if is_word else None

    # calls

    def call(self, node: Any, env: values.Env) -> ast.expr:
        """Rewrite a call: what it need not bring goes, and so does a part that hands on what it is given."""
        function = self.values.of(node.func, env)
        if values.hands_on(function) and node.args:
            return self.expression(node.args[0], env)
        held = isinstance(function, MethodType) or (isinstance(node.func, ast.Name) and node.func.id in env)
        if isinstance(function, partial):  # written as the call that it makes
            node.args[:0] = map(self.written, function.args)
            node.keywords += [ast.keyword(name, self.written(value)) for name, value in function.keywords.items()]
            made = function.func
            held, function, node.func = True, made, self.written(made)
        if held and (result := self.inlined(node, function)) is not None:
            return result
        self.mark(node, env)
        key = getattr(node, "runs", None)
        if isinstance(function, type | FunctionType) and (key or isinstance(node.func, ast.Call)):
            node.func = self.written(function)
        if key:
            self.hand_over(node, key, env)
        else:
            node.args = [each for each in node.args if not values.does_nothing(self.values.of(each, env))]
            node.keywords = [each for each in node.keywords if not values.does_nothing(self.values.of(each.value, env))]
        self.parts(node, env)
        return node

    def written(self, value: Any) -> ast.expr:
        """Return the source of a class, a function or a constant. Raises `UsageError` for anything else."""
        if isinstance(value, type | FunctionType) and (name := self.program.reference(value)):
            return name
        if not isinstance(value, bool | int | float | str | None):
            raise UsageError(
                f"an argument can't be printed: a {type(value).__name__} fixed by `partial`; name a class."
            )
        return ast.Constant(value)

    def hand_over(self, node: Any, key: Key, env: values.Env) -> None:
        """Note what a call brings, and take out of it what it need not bring any more."""
        for name, value in trees.brought(node):
            if name != "*" and not isinstance(value, ast.Constant):
                self.bind(key, name, self.values.of(value, env))
        gone = [(key, name) in self.program.gone for name in node.places]
        node.args = [each for each, out in zip(node.args, gone, strict=True) if not out]
        node.places = [each for each, out in zip(node.places, gone, strict=True) if not out]
        node.keywords = [each for each in node.keywords if (key, each.arg) not in self.program.gone]
        called = dict(self.program.define(key[0]).functions()).get(key)
        if called and "ids" in (arg.arg for arg in trees.parameters(called)) and "ids" not in node.places:
            node.args.append(ast.Name("ids", ast.Load()))
            node.places.append("ids")

    def bind(self, key: Key, name: str, value: Any) -> None:
        """Note what a parameter is given; once it is known, it is the same in every call."""
        known = self.program.known.setdefault(key, {})
        if values.is_settled(value):
            if name in known and not values.same(known[name], value):
                what = getattr(key[0], "__qualname__", key[0])
                raise UsageError(f"{what} is given two different things as {name!r}: `source` prints only one of them.")
            self.program.settle(key, name, value)
        elif isinstance(value, values.AnyOf):
            members = known[name].members if isinstance(known.get(name), values.AnyOf) else ()
            known[name] = values.stand_in((*members, *value.members))

    def inlined(self, node: Any, function: Any) -> ast.expr | None:
        """Return a call's own result where it is one expression: an object that does nothing, a part's maker."""
        own = [node.func.value] if isinstance(function, MethodType) else []  # `self`, of what does nothing
        function = getattr(function, "__func__", function)
        if not isinstance(function, FunctionType) or not is_ours(function):
            return None
        brought = dict(zip(inspect.signature(function).parameters, [*own, *node.args], strict=False))
        brought |= {word.arg: word.value for word in node.keywords if word.arg}
        definition = self.program.define(function)
        result = trees.result_of(definition.first)

        def new(name: ast.Name) -> ast.AST | None:
            return brought.get(name.id) or self.program.named(definition, name.id)

        return trees.substitute(ast.Expr(result), new).value if result else None

    def mark(self, node: Any, env: values.Env) -> None:
        """Note at a call whose source it runs, and which parameter each argument is, as soon as that is known."""
        if hasattr(node, "runs") or any(isinstance(a, ast.Starred) for a in node.args):
            return
        function = self.values.of(node.func, env)
        if isinstance(node.func, ast.Name) and node.func.id in self.nested:
            words = [arg.arg for arg in trees.parameters(self.nested[node.func.id])]
            node.runs, node.places = (self.definition.thing, f".{node.func.id}"), words[: len(node.args)]
            return
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "super()":
            function = self.inherited(node.func.attr)
        key = self.key_of(function)
        code = (vars(key[0]).get(key[1]) if key[1] else key[0]) if key and is_ours(key[0]) else None
        if not key or not isinstance(code, FunctionType) or any(word.arg is None for word in node.keywords):
            return
        signature = [*inspect.signature(code).parameters.values()][1 if key[1] else 0 :]
        words = [each.name for each in signature if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
        node.runs, node.places = key, [*words, *["*"] * len(node.args)][: len(node.args)]  # "*": a starred one's

    def key_of(self, function: Any) -> Key | None:
        """Say whose source runs when something is called."""
        if isinstance(function, values.AnyOf) and function.kind:
            function = values.Method(function, "forward" if issubclass(function.kind, nn.Module) else "__call__")
        if isinstance(function, values.Method):
            return function.definer, function.name
        if isinstance(function, type):
            return next(kind for kind in function.__mro__ if "__init__" in vars(kind)), "__init__"
        return (function, "") if isinstance(function, FunctionType) else None

    def inherited(self, name: str) -> Any:
        """Return what `super().name` is."""
        mro = self.definition.thing.__mro__[1 + len(self.definition.inherits) :]
        kind = next((kind for kind in mro if name in vars(kind)), None)
        members = self.program.instances(self.definition.thing)
        return values.Method(members, name, kind) if kind and isinstance(members, values.AnyOf) else values.UNKNOWN
