"""All definitions that are printed: found by following every call from `program.main`, and rewritten together."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import FunctionType, ModuleType
from typing import Any

import torch

from hornbook.generation.sampling import Sampling
from hornbook.model.build import PARTS, build
from hornbook.model.config import ModelConfig
from hornbook.model.weights import get_parameters, get_weights
from hornbook.settings import meanings
from hornbook.trace import program
from hornbook.trace.definitions import TOKEN, Constant, Definition, Facts, Key, Setting, quoted
from hornbook.trace.edits import Source, defaults, parse, strip_annotations
from hornbook.trace.origins import constant_text, imported, is_ours, is_outside, outside_text, text_of, where_constant
from hornbook.trace.program import Given
from hornbook.trace.specialise import Pass
from hornbook.trace.sweep import Sweep, written_into
from hornbook.trace.values import UNKNOWN, Find, Fixed, Values, stand_in
from hornbook.training.devices import can_compile
from hornbook.training.optimizers import make_optimizer
from hornbook.training.recipe import Recipe
from hornbook.training.step import TrainStep

SAMPLING = Sampling(temperature=0.8)  # as `hornbook generate` has it


@dataclass(frozen=True)
class Asked:
    """What a file is printed for."""

    config: ModelConfig
    recipe: Recipe
    given: Given
    sampling: Sampling = SAMPLING
    parts: Mapping[str, Mapping[str, Any]] | None = None


class Program:
    """All definitions that are printed, and what is known about them."""

    def __init__(self, asked: Asked) -> None:
        parts = asked.parts or PARTS
        config, recipe, given = asked.config, asked.recipe, asked.given
        with torch.device("meta"):
            model = build(config, parts=parts)
        step = TrainStep(model, make_optimizer(model, recipe), recipe, recipe.steps or 1, given.seed, given.dtype)
        self.objects = [*model.modules(), step, step.clock]
        find = Find(config, parts)
        whole = stand_in([model])
        self.decided = {
            can_compile: can_compile(torch.device(given.device)),
            find("kind"): whole,
            program.make_model: whole,
        }
        self.device = Setting("given", "device", [f.name for f in fields(Given)].index("device"))
        saved = set(model.state_dict()) & {name for name, _ in model.named_buffers()}
        self.same = {} if saved else {get_parameters: get_weights}  # only buffers make them differ
        self.groups = {"config": config, "recipe": recipe, "sampling": asked.sampling, "given": given}
        self.facts = Facts()
        roots = {"config": config, "recipe": recipe, "sampling": asked.sampling, "given": given, "find": find}
        self.facts.known[program.main, ""] = dict(roots)
        self.facts.gone[program.main, ""] = set(roots)
        self.tokens: dict[Any, str] = {}
        self.things: dict[str, Any] = {}
        self.definitions: dict[Any, Definition] = {}
        self.imports: dict[str, str] = {}

    # what a pass asks

    def token(self, thing: Any, name: str) -> str:
        """Return the name that stands for a thing until all names are given out."""
        if thing not in self.tokens:
            self.tokens[thing] = f"hb{len(self.tokens)}_{name}"
            self.things[self.tokens[thing]] = thing
        return self.tokens[thing]

    def is_ours(self, thing: Any) -> bool:
        """Say whether a thing is printed, not imported."""
        return is_ours(thing)

    def reference(self, value: Any) -> str | None:
        """Return the source that names a class or a function."""
        value = self.same.get(value, value)
        if is_ours(value):
            return self.token(value, value.__name__)
        if not is_outside(value.__module__) and value.__module__ != "builtins":
            return None
        text, name, line = outside_text(value)
        self.imports[name] = line
        return text

    def constant(self, module: ModuleType, name: str) -> str | None:
        """Return the source that names what a module of ours holds; None for modules from outside."""
        if is_outside(module.__name__):
            return None
        value = getattr(module, name)
        if is_ours(value):
            return self.reference(value)
        if isinstance(value, ModuleType | type | FunctionType):
            return None
        where, own = where_constant(module, name)
        return self.token(Constant(where.__name__, own), own)

    def named(self, definition: Definition, name: str) -> str | None:
        """Return the source that stands for a name that no function binds, where it is another."""
        if name in self.things:
            return None
        module = self.module(definition)
        if not hasattr(module, name) or name.startswith("__"):
            return None
        found = imported(module, name)
        if found and is_outside(found[0]):
            return None
        return None if isinstance(getattr(module, name), ModuleType) else self.constant(module, name)

    def setting(self, group: Any, name: str) -> str | None:
        """Return the source that stands for a setting."""
        found = next((key for key, value in self.groups.items() if value is group), None)
        if found is None:
            return None
        value = getattr(group, name)
        if callable(value):
            return None
        if value is None or isinstance(value, bool) or (isinstance(value, str) and name != "device"):
            return quoted(value)
        names = [name for name in dir(type(group)) if isinstance(getattr(type(group), name), property)]
        names = [*(field.name for field in fields(group)), *names]
        return self.token(Setting(found, name, names.index(name)), name)

    def instances(self, kind: type) -> Any:
        """Return what stands for all objects of a class in the model and its training."""
        found = [each for each in self.objects if isinstance(each, kind)]
        return stand_in(found)

    def values(self, definition: Definition) -> Values:
        """Return what finds values in a definition."""
        module = self.module(definition)

        def names(name: str) -> Any:
            if name in self.things:
                thing = self.things[name]
                if isinstance(thing, Constant):
                    return getattr(sys.modules[thing.module], thing.name)
                return UNKNOWN if isinstance(thing, Setting) else thing
            return getattr(module, name, UNKNOWN)

        def made(kind: type) -> Any:
            return stand_in([each for each in self.objects if type(each) is kind])

        return Values(names, made, self.decided)

    def is_empty(self, key: Key) -> bool:
        """Say whether nothing but words is left of a function."""
        definition = self.definitions.get(key[0])
        if definition is None or key[1]:
            return False
        (node,) = parse(definition.text).body
        return isinstance(node, ast.FunctionDef) and all(
            isinstance(each, ast.Pass) or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
            for each in node.body
        )

    def inline(
        self, function: FunctionType, words: dict[str, Any], texts: dict[str, str], parenthesised: bool
    ) -> str | None:
        """Return what a function returns, with its arguments put in; None if it is more than one expression."""
        definition = self.define(function)
        (node,) = parse(definition.first).body
        source = Source(definition.first)
        (node,) = source.tree.body
        assert isinstance(node, ast.FunctionDef)
        body = [e for e in node.body if not (isinstance(e, ast.Expr) and isinstance(e.value, ast.Constant))]
        if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
            return None
        result = body[0].value
        for name in ast.walk(result):
            if isinstance(name, ast.Name):
                text: str | None
                if name.id in words:
                    value = words[name.id]
                    text = self.reference(value) if isinstance(value, type | FunctionType) else repr(value)
                else:
                    text = texts.get(name.id) or self.named(definition, name.id)
                if text:
                    source.replace(name, text)
        begin, end = source.span(result)
        text = source.apply()
        inside = text[len(source.data[:begin].decode("utf-8")) :]
        inside = inside[: len(inside) - len(source.data[end:].decode("utf-8"))]
        return f"({inside})" if parenthesised and isinstance(result, ast.Tuple) else inside

    # how it goes on

    def module(self, definition: Definition) -> ModuleType:
        """Return the module that a definition stands in."""
        thing = definition.thing
        return sys.modules[thing.module if isinstance(thing, Constant) else thing.__module__]

    def define(self, thing: Any) -> Definition:
        """Return a thing's definition; its text is read the first time."""
        if thing not in self.definitions:
            if isinstance(thing, Setting):
                text = self.setting_text(thing)
            elif isinstance(thing, Constant):
                text = strip_annotations(constant_text(sys.modules[thing.module], thing.name))
            else:
                text = strip_annotations(text_of(thing))
            self.definitions[thing] = Definition(thing, text, text)
        return self.definitions[thing]

    def setting_text(self, setting: Setting) -> str:
        """Return the assignment of a setting: its value, or how it is computed from others."""
        group = self.groups[setting.group]
        value = getattr(group, setting.name)
        computed = getattr(type(group), setting.name, None)
        if isinstance(computed, property) and computed.fget:
            source = Source(strip_annotations(text_of(computed.fget)))  # type: ignore[arg-type]
            returns = [node for node in ast.walk(source.tree) if isinstance(node, ast.Return)]
            if len(returns) == 1 and returns[0].value:
                return f"{setting.name} = {source.of(returns[0].value)}"
        if setting == self.device and value != "cpu":
            there = "backends.mps" if value == "mps" else value
            return f'device = "{value}" if torch.{there}.is_available() else "cpu"'
        return f"{setting.name} = {quoted(value)}"

    def note(self, setting: Setting) -> str:
        """Return what a setting means."""
        kind = type(self.groups[setting.group])
        computed = getattr(kind, setting.name, None)
        if isinstance(computed, property):
            return (computed.__doc__ or "").strip().removesuffix(".")
        return meanings(kind).get(setting.name, "")

    def reachable(self) -> list[Definition]:
        """Return the definitions that are called, beginning with `main`."""
        self.token(program.main, "main")
        found, waiting = dict[Any, Definition](), [program.main]
        while waiting:
            thing = waiting.pop(0)
            if thing in found:
                continue
            found[thing] = self.define(thing)
            waiting += [self.things[token] for token in TOKEN.findall(found[thing].text)]
        return list(found.values())

    def settle(self) -> list[Definition]:
        """Rewrite everything until nothing changes, and return what is left."""
        defaults_known = False
        while True:
            changed = True
            while changed:
                self.facts.offers.clear()
                changed = sum(Pass(each, self).run() for each in self.reachable()) > 0
            if self.drop() or self.sweep() or self.flatten():
                continue
            if self.learn_settings():
                continue
            if not defaults_known:
                defaults_known = True
                self.learn_defaults()
                continue
            return self.reachable()

    def drop(self) -> bool:
        """Take parameters that are not needed out of all signatures and calls at once."""
        if not any(self.facts.new(key) for key in self.facts.gone):
            return False
        for each in self.reachable():
            Pass(each, self, drops=True).run()
        for key, names in self.facts.gone.items():
            self.facts.done.setdefault(key, set()).update(names)
        return True

    def sweep(self) -> bool:
        """Take away what is not in use."""
        before = {key: set(names) for key, names in self.facts.gone.items()}
        changed = Sweep(self.reachable(), self.facts, self.instances).run(self.reference)
        return changed or before != self.facts.gone

    def flatten(self) -> bool:
        """Write a base class that has one heir, and no objects of its own, into that heir."""
        definitions = self.reachable()
        kinds = [each for each in definitions if isinstance(each.thing, type)]
        for above in kinds:
            heirs = [each for each in kinds if self.tokens.get(above.thing) in TOKEN.findall(first_line(each.text))]
            token = self.tokens.get(above.thing, "?")
            uses = sum(TOKEN.findall(each.text).count(token) for each in definitions)
            if len(heirs) != 1 or uses != 1 or heirs[0].thing.__module__ != above.thing.__module__:
                continue
            (below,) = heirs
            calls_above = re.search(r"super\(\)\.", below.text)
            if calls_above:
                continue
            below.text = written_into(above, below)
            below.inherits = (*below.inherits, above.thing)
            return True
        return False

    def setting_named(self, node: ast.AST) -> Any:
        """Return the setting that an expression names, with its value; None for another expression."""
        thing = self.things.get(node.id) if isinstance(node, ast.Name) else None
        if not isinstance(thing, Setting):
            return None
        return Fixed(self.tokens[thing], getattr(self.groups[thing.group], thing.name))

    def learn_settings(self) -> bool:
        """A parameter that is the same setting in every call is that setting."""
        called = self.only_called()
        learnt = False
        for (key, name), found in self.facts.offers.items():
            if len(found) != 1 or None in found or name in self.facts.gone.get(key, ()):
                continue
            if key[1] == "__init__" or (not key[1] and self.tokens.get(key[0]) in called):
                self.facts.known.setdefault(key, {})[name] = next(iter(found))
                self.facts.gone.setdefault(key, set()).add(name)
                learnt = True
        return learnt

    def only_called(self) -> set[str]:
        """Return the names that stand only where they are called."""
        trees = [parse(each.text) for each in self.reachable()]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        names = Counter(node.id for node in nodes if isinstance(node, ast.Name))
        calls = Counter(n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name))
        return {name for name in names if names[name] == calls[name]}

    def learn_defaults(self) -> None:
        """A parameter that no call brings has its default: put it in where that is a word."""
        for each in self.reachable():
            if isinstance(each.thing, Constant):
                continue
            (node,) = parse(each.text).body
            members = node.body if isinstance(node, ast.ClassDef) else [node]
            for function in members:
                if not isinstance(function, ast.FunctionDef):
                    continue
                name = function.name if isinstance(node, ast.ClassDef) else ""
                if name not in ("", "__init__"):
                    continue
                key = (each.owner(name) if name else each.thing, name)
                for parameter, default in defaults(function).items():
                    free = parameter not in self.facts.passed.get(key, set()) | self.facts.gone.get(key, set())
                    if free and isinstance(default, ast.Constant) and isinstance(default.value, bool | str | None):
                        self.facts.known.setdefault(key, {})[parameter] = default.value
                        self.facts.gone.setdefault(key, set()).add(parameter)


def first_line(text: str) -> str:
    """Return the line that a class begins with, its bases in it."""
    return next(line for line in text.splitlines() if line.startswith("class "))
