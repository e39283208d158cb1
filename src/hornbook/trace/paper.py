"""Definitions, written down as a file: their order, their names, what they import, and what stands above them."""

from __future__ import annotations

import ast
import builtins
import re
import sys

from hornbook.errors import UsageError
from hornbook.trace.origins import KNOWN_IMPORTS, Constant, Definition, Setting, imported, is_outside, line_of
from hornbook.trace.trees import functions, names, stored
from hornbook.trace.whole import Program
from hornbook.trace.writing import CLOSE, ROOMY, TIGHT, WIDTH, Named, Writer, paragraph

OTHER_NAMES = {"learning_rate": "peak_rate"}
"""What a setting is called where a function has its name."""

_PARTS = ("dropout", "positions", "pairs", "norm", "mlp", "head", "multihead", "attention", "block", "bigram", "gpt")
ORDER = [
    "chance",
    *(f"model.{name}" for name in _PARTS),
    "",  # a learner's own files
    *("model.build", "model.weights", "text.batches"),
    *("training.devices", "training.optimizers", "training.averaging", "training.schedule", "training.step"),
    *("generation.generator", "generation.sampling", "trace.program"),
]
"""The files that are printed, in the order of reading."""


class Paper:
    """One file in the making, of definitions by the names that stand for them."""

    def __init__(self, definitions: dict[str, Definition], program: Program) -> None:
        self.definitions, self.things, self.program = definitions, program.things, program
        self.names = self.name_all()
        self.imports = self.find_imports()
        self.settings = sorted((d for d in definitions.values() if isinstance(d.thing, Setting)), key=self.place)
        self.pieces = self.ordered()
        for each in definitions.values():
            Named(self.names).visit(each.node)

    def write(self, header: str, style: int) -> str:
        """Return the file in a style."""
        writer = Writer(style)
        blocks = [header.strip("\n"), self.imports, "\n".join(self.setting_lines(style))]
        room = None
        for each in self.pieces:
            text, is_new = "\n".join(writer.write([each.node])), each.module is not room
            words = paragraph(each.module.__doc__ or "") if is_new and style <= CLOSE else ""
            text = f"# {words}\n{text}" if words and len(words) <= WIDTH - 2 else text
            if not is_new and (isinstance(each.thing, Constant) or style > ROOMY):
                blocks[-1] += "\n" + text
            else:
                blocks.append(text)
            room = each.module
        blocks.append('if __name__ == "__main__": main()')
        return ("\n" if style == TIGHT else "\n\n").join(blocks) + "\n"

    def setting_lines(self, style: int) -> list[str]:
        """Return the lines that say how large all is, with less room two settings on one."""
        rows: list[list[list[str]]] = []  # of each line the names, the values, what they mean
        for each in self.settings:
            note = re.split("[;:,(]", self.program.note(each.thing))[0].strip()
            new = [self.names[self.program.tokens[each.thing]], ast.unparse(each.node.value), note]
            begin = max((i + 1 for i, row in enumerate(rows) if {*re.findall(r"\w+", new[1])} & {*row[0]}), default=0)
            for i in range(begin, len(rows)) if style > ROOMY else ():
                both = [[*old, word] for old, word in zip(rows[i], new, strict=True)]
                if len(setting_line(*both)) <= WIDTH and "if" not in " ".join(rows[i][1]).split():
                    rows[i] = both
                    break
            else:
                rows.append([[word] for word in new])
        return [setting_line(*row) for row in rows]

    # order

    def place(self, definition: Definition) -> tuple[int, int, str, int]:
        """Say where a definition belongs: its file's place in the order of reading, and its line."""
        thing = definition.thing
        if isinstance(thing, Setting):  # what is computed from another comes after it
            computed = any(name in self.things for name in names([definition.node]))
            return computed, ["config", "recipe", "sampling", "given"].index(thing.group), "", thing.place
        name = definition.module.__name__
        short = name.removeprefix("hornbook.")
        return 0, ORDER.index(short if short in ORDER else ""), name, line_of(thing)

    def ordered(self) -> list[Definition]:
        """Return definitions in the order of reading, but each after what it needs at once, such as a base class."""
        found: dict[str, Definition] = {}

        def add(token: str) -> None:
            each = self.definitions[token]
            if token in found or isinstance(each.thing, Setting):
                return
            for needed in needed_at_once(each.node):
                if needed in self.definitions and needed != token:
                    add(needed)
            constants = [other.node for other in found.values() if isinstance(other.thing, Constant)]
            if ast.dump(each.node) not in map(ast.dump, constants):  # one statement may assign several
                found[token] = each

        for token in sorted(self.definitions, key=lambda token: self.place(self.definitions[token])):
            add(token)
        return list(found.values())

    # names

    def name_all(self) -> dict[str, str]:
        """Give each thing its own name, or where another has it, a longer one."""
        nodes = [each.node for each in self.definitions.values()]
        hidden: dict[str, set[str]] = {token: set() for token in self.definitions}
        plain: set[str] = set()
        for node in nodes:
            bound = set[str]().union(*(stored(function) for function in functions(node)))
            plain |= set(names([node])) - bound
            for function in functions(node):
                for token in set(names([function])) & hidden.keys():
                    hidden[token] |= stored(function)
        taken = plain - hidden.keys()
        given: dict[str, str] = {}
        for token in sorted(hidden, key=lambda t: (isinstance(self.things[t], Setting), int(t[2:].split("_")[0]))):
            own, thing, module = token.split("_", 1)[1], self.things[token], self.definitions[token].module.__name__
            longer = f"{thing.group if isinstance(thing, Setting) else module.split('.')[-1]}_{own}"
            choices = [own, OTHER_NAMES.get(own, own), longer, *(f"{longer}_{n}" for n in range(2, 99))]
            given[token] = next(each for each in choices if each not in taken | hidden[token])
            taken.add(given[token])
            if not isinstance(thing, Setting | Constant):  # it calls itself what the others call it
                self.definitions[token].node.name = given[token]
        return given

    # imports

    def find_imports(self) -> str:
        """Return the lines that import what the definitions use; whole modules share one, Python's own another."""
        lines: set[str] = set()
        for each in self.definitions.values():
            nodes = list(ast.walk(each.node))
            inner = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
            inner |= {n.arg for n in nodes if isinstance(n, ast.arg)} | set(names([each.node], ast.Store))
            for node in nodes:
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        check_import(each, alias.name)
                elif isinstance(node, ast.ImportFrom):
                    check_import(each, node.module or ".")
            for name in {*names([each.node])} - inner - self.things.keys() - {"__doc__"}:
                if not hasattr(builtins, name):
                    lines.add(self.import_of(each, name))
        rows: dict[tuple[bool, str], str] = {}
        for line in sorted(lines):
            word, name, *_ = re.split(r"[ .]", line)
            key = name not in sys.stdlib_module_names, "" if word == "import" else line
            rows[key] = f"{rows[key]}, {line[7:]}" if key in rows else line
        return "\n".join(rows[key] for key in sorted(rows))

    def import_of(self, definition: Definition, name: str) -> str:
        """Return the line that imports a name, as the definition's own file has it."""
        if name in self.program.imports:
            return self.program.imports[name]
        modules = [d.module for d in (definition, *self.definitions.values()) if not isinstance(d.thing, Setting)]
        for module in modules:  # others: what was written into this one
            if found := imported(module, name):
                check_import(definition, found[0])
                return found[2]
        if name in KNOWN_IMPORTS:
            return KNOWN_IMPORTS[name]
        raise UsageError(f"{title(definition)} can't be printed: nothing says what {name!r} is.")


def check_import(definition: Definition, module: str) -> None:
    """Raise `UsageError` for a package that a printed file may not import."""
    if not is_outside(module):
        raise UsageError(
            f"{title(definition)} can't be printed: it imports {module}, and the file is to import torch and numpy "
            "alone."
        )


def setting_line(names: list[str], values: list[str], notes: list[str]) -> str:
    """Return settings as one assignment, with what they mean behind it."""
    return f"{', '.join(names)} = {', '.join(values)}  # {'; '.join(filter(None, notes))}"


def title(definition: Definition) -> str:
    """Say which definition it is."""
    thing = definition.thing
    return f"{thing.__module__}.{thing.__qualname__}" if hasattr(thing, "__qualname__") else str(thing)


def needed_at_once(tree: ast.AST) -> list[str]:
    """Return the names that a definition reads when it is made, not when it is called."""
    found = [tree.id] if isinstance(tree, ast.Name) else []
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(tree, ast.FunctionDef) and child in tree.body):
            found += needed_at_once(child)
    return found
