"""Definitions, written down as a file: their order, their names, what they import, and what stands above them."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from hornbook.errors import UsageError
from hornbook.trace.definitions import TOKEN, Constant, Definition, Setting
from hornbook.trace.edits import functions, parse, stored
from hornbook.trace.layout import Style, doc_words, lay_out, paired
from hornbook.trace.origins import KNOWN_IMPORTS, constant_line, imported, is_outside

OTHER_NAMES = {"learning_rate": "peak_rate"}
"""What a setting is called where a function has its name."""

_PARTS = ("dropout", "positions", "norm", "mlp", "head", "multihead", "attention", "block", "bigram", "gpt")
ORDER = [
    "chance",
    *(f"model.{name}" for name in _PARTS),
    "",  # a learner's own files
    *("model.build", "model.weights", "text.batches"),
    *("training.devices", "training.optimizers", "training.schedule", "training.step"),
    *("generation.generator", "generation.sampling", "trace.program"),
]
"""The files that are printed, in the order of reading."""


class Paper:
    """One file in the making."""

    def __init__(self, definitions: Sequence[Definition], whole: Any) -> None:
        self.definitions, self.things, self.extra, self.note = definitions, whole.things, whole.imports, whole.note
        self.modules = {d.thing: whole.module(d) for d in definitions if not isinstance(d.thing, Setting)}
        self.names = self.name_all()
        self.imports = self.find_imports()
        self.pieces = self.ordered([d for d in definitions if not isinstance(d.thing, Setting)])

    def write(self, header: str, style: Style) -> str:
        """Return the file in a style. Raises `UsageError` where something can't be printed."""
        imports = grouped(self.imports) if style.packed else self.imports
        lines = self.setting_lines([d for d in self.definitions if isinstance(d.thing, Setting)])
        blocks = [header.strip("\n") + "\n\n" + imports, "\n".join(paired(lines) if style.packed else lines)]
        room = None
        for each in self.pieces:
            text = lay_out(self.renamed(self.definition_named(each)), style)
            module = self.modules[each.thing]
            depth = 1 if chapter(module) != chapter(room) else 2 if module is not room else 3
            words = doc_words(module.__doc__ or "") if depth < 3 and style.sections else ""
            text = f"# {words}\n{text}" if words else text
            if room and (depth > style.blanks or (depth == 3 and isinstance(each.thing, Constant))):
                blocks[-1] += "\n" + text
            else:
                blocks.append(text)
            room = module
        end = 'if __name__ == "__main__":'
        if style.tight:
            blocks[-1] += f"\n{end} main()"
        else:
            blocks.append(f"{end}\n    main()")
        return ("\n\n\n" if style.blanks == 4 else "\n\n").join(blocks) + "\n"

    def setting_lines(self, settings: Sequence[Definition]) -> list[str]:
        """Return the lines that say how large all is: what is computed from another comes after it."""
        settings = sorted(settings, key=lambda d: (len(TOKEN.findall(d.text)), self.place(d)))
        lines = []
        for each in settings:
            line, note = self.renamed(self.definition_named(each)), self.note(each.thing)
            whole = f"{line}  # {note}"
            lines.append(whole if note and len(whole) <= 120 else line)
        return lines

    # order

    def place(self, definition: Definition) -> tuple[int, str, int]:
        """Say where a definition belongs: its file's place in the order of reading, and its line."""
        thing = definition.thing
        if isinstance(thing, Setting):
            return ["config", "recipe", "sampling", "given"].index(thing.group), "", thing.place
        name = self.modules[thing].__name__
        short = name.removeprefix("hornbook.")
        if isinstance(thing, Constant):
            line = constant_line(self.modules[thing], thing.name)
        else:
            line = inspect.getsourcelines(thing)[1]
        return ORDER.index(short) if short in ORDER else ORDER.index(""), name, line

    def ordered(self, definitions: Sequence[Definition]) -> list[Definition]:
        """Return definitions in the order of reading, but each after what it needs at once, such as a base class."""
        by_thing = {d.thing: d for d in definitions}
        found: dict[Any, Definition] = {}

        def add(each: Definition) -> None:
            if each.thing in found:
                return
            for token in needed_at_once(each.text):
                if (thing := self.things.get(token)) in by_thing and thing is not each.thing:
                    add(by_thing[thing])
            if all(each.text != other.text for other in found.values() if isinstance(other.thing, Constant)):
                found[each.thing] = each

        for each in sorted(definitions, key=self.place):
            add(each)
        return list(found.values())

    # names

    def name_all(self) -> dict[str, str]:
        """Give each thing its own name, or where another has it, a longer one."""
        used = {token for d in self.definitions for token in TOKEN.findall(d.text)}
        hidden: dict[str, set[str]] = {token: set() for token in used}
        plain: set[str] = set()
        for each in self.definitions:
            tree = parse(each.text)
            plain |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
            plain -= {bound for f in functions(tree) for bound in stored(f)}
            for function in functions(tree):
                inside = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
                for token in inside & hidden.keys():
                    hidden[token] |= stored(function)
        taken = {name for name in plain if name not in used} | {"main"}
        names: dict[str, str] = {}
        for token in sorted(used, key=lambda t: (isinstance(self.things[t], Setting), int(t[2:].split("_")[0]))):
            thing = self.things[token]
            own = token.split("_", 1)[1]
            before = thing.group if isinstance(thing, Setting) else self.modules[thing].__name__.split(".")[-1]
            choices = [
                own,
                *([OTHER_NAMES[own]] if own in OTHER_NAMES else []),
                f"{before}_{own}",
                *(f"{before}_{own}_{n}" for n in range(2, 99)),
            ]
            names[token] = next(c for c in choices if c not in taken | hidden[token])
            taken.add(names[token])
        return names | {token: "main" for token in self.things if token.endswith("_main") and token not in used}

    def renamed(self, text: str) -> str:
        """Return a text with the names in it that things were given."""
        return TOKEN.sub(lambda match: self.names[match[0]], text)

    def definition_named(self, definition: Definition) -> str:
        """Return a definition that calls itself what the others call it."""
        token = next((t for t, thing in self.things.items() if thing is definition.thing), None)
        name = self.names.get(token or "")
        if name is None or isinstance(definition.thing, Constant):
            return definition.text
        if isinstance(definition.thing, Setting):
            return re.sub(r"^\w+", name, definition.text)
        return re.sub(r"^((?:@.*\n)*(?:class|def)) \w+", rf"\1 {name}", definition.text, count=1)

    # imports

    def find_imports(self) -> str:
        """Return the lines that import what the definitions use."""
        defined = set(self.names.values())
        lines: set[str] = set()
        for each in self.definitions:
            tree = parse(each.text)
            inner = {name for f in functions(tree) for name in stored(f)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    for module in (
                        [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or "."]
                    ):
                        self.check_import(each, module)
                if not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)) or node.id in self.things:
                    continue
                name = node.id
                if name in inner | defined or hasattr(builtins, name) or name == "__doc__" or bound_inside(tree, name):
                    continue
                lines.add(self.import_of(each, name))

        def key(line: str) -> tuple[bool, bool, str]:
            top = re.split(r"[ .]", line)[1]
            return top not in sys.stdlib_module_names, line.startswith("from"), line

        ordered = sorted(lines, key=key)
        return "\n".join(ordered)

    def import_of(self, definition: Definition, name: str) -> str:
        """Return the line that imports a name, as the definition's own file has it."""
        if name in self.extra:
            return self.extra[name]
        own = self.modules.get(definition.thing)
        for module in (own, *self.modules.values()) if own else ():  # others: what was written into this one
            if found := imported(module, name):
                self.check_import(definition, found[0])
                return found[2]
        if name in KNOWN_IMPORTS:
            return KNOWN_IMPORTS[name]
        raise UsageError(f"{title(definition)} can't be printed: nothing says what {name!r} is.")

    def check_import(self, definition: Definition, module: str) -> None:
        """Raise `UsageError` for a package that a printed file may not import."""
        if not is_outside(module):
            raise UsageError(
                f"{title(definition)} can't be printed: it imports {module}, and the file is to import torch and "
                "numpy alone."
            )


def chapter(module: ModuleType | None) -> str:
    """Return which part of the file a module's definitions belong to: chance, the model, its first values, …"""
    name = module.__name__ if module else ""
    room = name.removeprefix("hornbook.").partition(".")[0]
    joins = {"text": "training", "generation": "trace"}
    return name if name.endswith(".weights") else joins.get(room, room)


def title(definition: Definition) -> str:
    """Say which definition it is."""
    thing = definition.thing
    return f"{thing.__module__}.{thing.__qualname__}" if hasattr(thing, "__qualname__") else str(thing)


def bound_inside(tree: ast.AST, name: str) -> bool:
    """Say whether a comprehension, a lambda or a constant binds a name itself."""
    return any(
        (isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store))
        or (isinstance(n, ast.arg) and n.arg == name)
        or (isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name)
        for n in ast.walk(tree)
    )


def needed_at_once(text: str) -> list[str]:
    """Return the names that a definition reads when it is made, not when it is called."""
    found: list[str] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            found.append(node.id)
        for child in ast.iter_child_nodes(node):
            if not (isinstance(node, ast.FunctionDef) and child in node.body):
                visit(child)

    visit(parse(text))
    return found


def grouped(imports: str) -> str:
    """Return imports with those of whole modules from the standard library on one line."""
    lines = imports.split("\n")
    plain = [line for line in lines if re.fullmatch(r"import \w+", line) and line[7:] in sys.stdlib_module_names]
    rest = [line for line in lines if line not in plain]
    return "\n".join([f"import {', '.join(line[7:] for line in plain)}", *rest] if plain else rest)
