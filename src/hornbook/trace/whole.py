"""All definitions that are printed: found by following every call from `program.main`, and rewritten together."""

from __future__ import annotations

import ast
import copy
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import FunctionType, ModuleType
from typing import Any

import torch

from hornbook.generation.sampling import Sampling
from hornbook.model.build import PARTS, build
from hornbook.model.cache import NO_CACHE
from hornbook.model.config import ModelConfig
from hornbook.model.weights import get_parameters, get_weights
from hornbook.settings import meanings
from hornbook.trace import origins, program, trees
from hornbook.trace.program import Given
from hornbook.trace.rewrite import Rewrite
from hornbook.trace.sweep import Sweep, flatten
from hornbook.trace.values import UNKNOWN, Env, Find, Fixed, Values, stand_in
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
        parts, config, recipe, given = asked.parts or PARTS, asked.config, asked.recipe, asked.given
        with torch.device("meta"):
            model = build(config, parts=parts)
        step = TrainStep(model, make_optimizer(model, recipe), recipe, recipe.steps or 1, given.seed, given.dtype)
        self.objects = [*model.modules(), step, step.clock]
        find, whole = Find(config, parts), stand_in([model])
        works = can_compile(torch.device(given.device))
        self.decided: dict[Any, Any] = {can_compile: works, find("kind"): whole, program.make_model: whole}
        self.decided[NO_CACHE.reading] = NO_CACHE  # what it knows of ids is asked of those who call
        weights, buffers = model.state_dict(keep_vars=True), dict(model.named_buffers())
        plain = program.all_weights if len(set(weights.values())) == len(weights) else get_weights
        self.same = {} if weights.keys() & buffers.keys() else {get_parameters: plain}  # only buffers make them differ
        self.groups = {"config": config, "recipe": recipe, "sampling": asked.sampling, "given": given}
        self.known: dict[origins.Key, Env] = {}
        """values that parameters always have"""
        self.gone: set[tuple[origins.Key, str]] = set()
        """parameters that no call needs to bring"""
        self.tokens: dict[Any, str] = {}
        self.things: dict[str, Any] = {}
        self.definitions: dict[Any, origins.Definition] = {}
        self.imports: dict[str, str] = {}
        for name, value in {**self.groups, "find": find}.items():
            self.settle((program.main, ""), name, value)

    # what a pass asks

    def settle(self, key: origins.Key, name: str, value: Any) -> None:
        """Note what a parameter is in every call."""
        self.known.setdefault(key, {})[name] = value
        self.gone.add((key, name))

    def token(self, thing: Any, name: str) -> ast.Name:
        """Return the name that stands for a thing until all names are given out."""
        if thing not in self.tokens:
            self.tokens[thing] = f"hb{len(self.tokens)}_{name}"
            self.things[self.tokens[thing]] = thing
        return ast.Name(self.tokens[thing], ast.Load())

    def reference(self, value: Any) -> ast.expr | None:
        """Return the source that names a class or a function; None where that is nothing new."""
        value = self.same.get(value, value)
        if origins.is_ours(value):
            return self.token(value, value.__name__)
        if not origins.is_outside(value.__module__):
            return None
        text, name, line = origins.outside_text(value)
        self.imports[name] = line
        return trees.expression(text)

    def constant(self, module: ModuleType, name: str) -> ast.expr | None:
        """Return the source that names what a module of ours holds; None for modules from outside."""
        if origins.is_outside(module.__name__):
            return None
        value = getattr(module, name)
        if origins.is_ours(value):
            return self.reference(value)
        if isinstance(value, ModuleType | type | FunctionType):
            return None
        return self.token(origins.find_constant(module, name), name)

    def named(self, definition: origins.Definition, name: str) -> ast.expr | None:
        """Return the source that stands for a name that no function binds, where it is another."""
        if name in self.things or isinstance(definition.thing, origins.Setting):
            setting = self.definitions.get(self.things.get(name))  # one that is another is written as that
            return (
                setting.node.value if setting and getattr(setting.node, "value", None).__class__ is ast.Name else None
            )
        module = definition.module
        found = origins.imported(module, name)
        if not hasattr(module, name) or name.startswith("__") or (found and origins.is_outside(found[0])):
            return None
        return None if isinstance(getattr(module, name), ModuleType) else self.constant(module, name)

    def setting(self, group: Any, name: str) -> ast.expr | None:
        """Return the source that stands for a setting."""
        found = next((key for key, value in self.groups.items() if value is group), None)
        value = getattr(group, name) if found else None
        if not found or callable(value):
            return None
        if value is None or isinstance(value, bool) or (isinstance(value, str) and name != "device"):
            return ast.Constant(value)
        computed = [word for word in dir(type(group)) if isinstance(getattr(type(group), word), property)]
        place = [*(field.name for field in fields(group)), *computed].index(name)
        return self.token(origins.Setting(found, name, place), name)

    def fixed(self, token: str) -> Fixed | None:
        """Return a setting, by the name that stands for it; None for another name."""
        setting = self.things.get(token)
        if not isinstance(setting, origins.Setting):
            return None
        return Fixed(token, getattr(self.groups[setting.group], setting.name))

    def instances(self, kind: type) -> Any:
        """Return what stands for all objects of a class in the model and its training."""
        return stand_in(each for each in self.objects if isinstance(each, kind))

    def values(self, definition: origins.Definition) -> Values:
        """Return what finds values in a definition."""

        def named(name: str) -> Any:
            thing = self.things.get(name)
            if isinstance(thing, origins.Setting) or isinstance(definition.thing, origins.Setting):
                return UNKNOWN
            if isinstance(thing, origins.Constant):
                return getattr(sys.modules[thing.module], thing.name)
            return thing or getattr(definition.module, name, UNKNOWN)

        return Values(named, lambda kind: stand_in(e for e in self.objects if type(e) is kind), self.decided)

    def is_empty(self, key: origins.Key | None) -> bool:
        """Say whether nothing but words is left of a function."""
        found = self.definitions.get(key[0]) if key and not key[1] else None
        return found is not None and all(isinstance(each, ast.Pass) for each in trees.body_of(found.node))

    # how it goes on

    def define(self, thing: Any) -> origins.Definition:
        """Return a thing's definition; its source is read the first time."""
        if thing not in self.definitions:
            is_setting = isinstance(thing, origins.Setting)
            first = trees.read(self.setting_text(thing) if is_setting else origins.text_of(thing))
            node = copy.deepcopy(first)
            for i, kind in enumerate(thing.__bases__ if isinstance(thing, type) else ()):
                if origins.is_ours(kind):
                    node.bases[i] = self.reference(kind)
            self.definitions[thing] = origins.Definition(thing, node, first)
        return self.definitions[thing]

    def setting_text(self, setting: origins.Setting) -> str:
        """Return the assignment of a setting: its value, or how it is computed from others."""
        group = self.groups[setting.group]
        value, computed = getattr(group, setting.name), getattr(type(group), setting.name, None)
        if isinstance(computed, property) and (result := trees.result_of(trees.read(origins.text_of(computed.fget)))):
            return f"{setting.name} = {ast.unparse(result)}"
        if setting.name == "device" and value != "cpu":
            there = "backends.mps" if value == "mps" else value
            return f'device = "{value}" if torch.{there}.is_available() else "cpu"'
        return f"{setting.name} = {value!r}"

    def note(self, setting: origins.Setting) -> str:
        """Return what a setting means."""
        kind = type(self.groups[setting.group])
        computed = getattr(kind, setting.name, None)
        if not isinstance(computed, property):
            return meanings(kind).get(setting.name, "")
        words = (computed.__doc__ or "").strip().removesuffix(".")
        return words[:1].lower() + words[1:] if words[1:2].islower() else words

    def reachable(self) -> list[origins.Definition]:
        """Return the definitions that are called, beginning with `main`."""
        found, waiting = dict[Any, origins.Definition](), [program.main]
        self.token(program.main, "main")
        while waiting:
            thing = waiting.pop(0)
            if thing not in found:
                found[thing] = self.define(thing)
                waiting += [self.things[name] for name in trees.names([found[thing].node]) if name in self.things]
        return list(found.values())

    def rewritten(self) -> list[origins.Definition]:
        """Rewrite everything until nothing changes, and return what is left."""
        while True:
            before = None
            while before != (before := self.state()):
                for each in self.reachable():
                    Rewrite(each, self).run()
            if not any(step() for step in (self.sweep, self.flatten, self.learn_parameters)):
                return self.reachable()

    def state(self) -> Any:
        """Return what two passes are compared by."""
        return [ast.dump(each.node) for each in self.reachable()], len(self.gone)

    def sweep(self) -> bool:
        """Take away what is not in use; say whether there was anything."""
        before = self.state()
        Sweep(self, self.reachable()).run()
        return bool(self.state() != before)

    def flatten(self) -> bool:
        """Write a base class that has one heir, and no objects of its own, into that heir."""
        definitions = self.reachable()
        read_names = Counter(trees.names(each.node for each in definitions))
        for below in definitions:
            bases = [self.things.get(ast.unparse(b)) for b in getattr(below.node, "bases", ())]
            for kind in filter(None, bases):
                above = self.define(kind)
                if read_names[self.tokens[kind]] == 1 and above.module is below.module and flatten(above, below):
                    return True
        return False

    def brought(self) -> dict[tuple[origins.Key, str], list[ast.expr]]:
        """Return what calls bring for each parameter."""
        found: dict[tuple[origins.Key, str], list[ast.expr]] = {}
        for node in (n for each in self.reachable() for n in ast.walk(each.node)):
            if key := getattr(node, "runs", None):
                for name, value in trees.brought(node):
                    found.setdefault((key, name), []).append(value)
        return found

    def closed(self) -> list[tuple[origins.Key, Any]]:
        """Return the functions all of whose calls are known: constructors, inner ones, names that are only called."""
        nodes = [each.node for each in self.reachable()]
        called = Counter(ast.unparse(n.func) for node in nodes for n in trees.calls(node))
        only_called = {name for name, n in Counter(trees.names(nodes)).items() if called[name] == n}
        functions = [found for each in self.reachable() for found in each.functions()]
        return [
            (key, f)
            for key, f in functions
            if key[1].startswith((".", "__init__")) or (not key[1] and self.tokens[key[0]] in only_called)
        ]

    def learn_parameters(self) -> bool:
        """A parameter that is one setting or word in every call is that; one that no call brings is its default."""
        brought, before = self.brought(), len(self.gone)
        for key, function in self.closed():
            defaults = trees.defaults(function)
            for name in (arg.arg for arg in trees.parameters(function)):
                given = brought.get((key, name), [defaults[name]] if name in defaults else [])
                words = {ast.unparse(value) for value in given}
                text = words.pop() if len(words) == 1 else ""
                if fixed := self.fixed(text):
                    self.settle(key, name, fixed)
                elif text in ("True", "False", "None") or text.startswith("'"):
                    self.settle(key, name, ast.literal_eval(text))
        return len(self.gone) > before
