"""Python source that is edited in place: pieces are replaced by their position, so all else stays as it was written.

Positions are those of the syntax tree, in bytes of UTF-8.
"""

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache


@lru_cache(maxsize=4096)
def parse(text: str) -> ast.Module:
    """Return a text's syntax tree, which nobody changes."""
    return ast.parse(text)


class Source:
    """A piece of source, its syntax tree, and the edits that are to be made to it."""

    def __init__(self, text: str) -> None:
        self.data = text.encode("utf-8")
        self.tree = parse(text)
        self.lines = self.data.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.edits: list[tuple[int, int, bytes]] = []

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return where a node begins and ends, its decorators included."""
        first = (getattr(node, "decorator_list", None) or [node])[0]
        at = first.col_offset - (first is not node)
        return self.starts[first.lineno - 1] + at, self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def of(self, node: ast.AST) -> str:
        """Return a node's own text."""
        begin, end = self.span(node)
        return self.data[begin:end].decode("utf-8")

    def block(self, nodes: Sequence[ast.AST]) -> tuple[int, int]:
        """Return where the whole lines of neighbouring statements begin and end, with the comments right above."""
        line = self.data[: self.span(nodes[0])[0]].count(b"\n")
        while line and self.lines[line - 1].strip().startswith(b"#"):
            line -= 1
        return self.starts[line], self.starts[nodes[-1].end_lineno]  # type: ignore[attr-defined]

    def replace(self, node: ast.AST, text: str) -> None:
        """Put a text in a node's place."""
        self.edits.append((*self.span(node), text.encode("utf-8")))

    def replace_from_to(self, begin: int, end: int, text: str = "") -> None:
        """Put a text in place of what stands from byte `begin` to byte `end`."""
        self.edits.append((begin, end, text.encode("utf-8")))

    def remove(self, statements: Sequence[ast.AST]) -> None:
        """Take statements away, with the comments right above them."""
        self.replace_from_to(*self.block(statements))

    def unwrap(self, statement: ast.stmt, body: Sequence[ast.stmt]) -> None:
        """Put some of what is inside a statement in its place."""
        begin, end = self.block(body)
        inside = self.data[begin:end].decode("utf-8")
        shift = body[0].col_offset - statement.col_offset
        text = re.sub(rf"^ {{{shift}}}", "", inside, flags=re.M)
        self.replace_from_to(self.starts[statement.lineno - 1], self.starts[statement.end_lineno], text)  # type: ignore[index]

    def list_again(self, old: Sequence[ast.AST], kept: Iterable[str]) -> None:
        """Write a list between commas (arguments, parameters) again, with fewer members."""
        begin, end = self.span(old[0])[0], self.span(old[-1])[1]
        kept = list(kept)
        if not kept and (comma := re.match(rb"\s*,", self.data[end:])):
            end += comma.end()
        self.replace_from_to(begin, end, ", ".join(kept))

    def apply(self) -> str:
        """Return the text with the edits made."""
        data, last = self.data, len(self.data) + 1
        for begin, end, text in sorted(self.edits, reverse=True):
            assert end <= last, "two edits of one place"
            data, last = data[:begin] + text + data[end:], begin
        return data.decode("utf-8")


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    """Return all functions in a tree, the inner ones too."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def parameters(function: ast.FunctionDef) -> list[ast.arg]:
    """Return a function's parameters in order; the starred ones come last."""
    a = function.args
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]


def defaults(function: ast.FunctionDef) -> dict[str, ast.expr]:
    """Return the defaults of a function's parameters, by name."""
    a = function.args
    positional = [*a.posonlyargs, *a.args]
    pairs = [*zip(positional[len(positional) - len(a.defaults) :], a.defaults, strict=True)]
    pairs += [(arg, default) for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True) if default]
    return {arg.arg: default for arg, default in pairs}


def write_parameters(source: Source, function: ast.FunctionDef, dropped: Callable[[str], bool]) -> str:
    """Return a function's parameters as source, without annotations and without those that are dropped."""
    a, values = function.args, defaults(function)
    words: list[ast.arg | str] = []
    for arg in [*a.posonlyargs, *a.args]:
        words.append(arg)
        if a.posonlyargs and arg is a.posonlyargs[-1]:
            words.append("/")
    if a.vararg or a.kwonlyargs:
        words.append(a.vararg or "*")
    words += [*a.kwonlyargs, *([a.kwarg] if a.kwarg else [])]
    written = []
    for word in words:
        if isinstance(word, str):
            written.append(word)
        elif not dropped(word.arg):
            star = "*" if word is a.vararg else "**" if word is a.kwarg else ""
            default = f"={source.of(values[word.arg])}" if word.arg in values else ""
            written.append(star + word.arg + default)
    if written and written[-1] == "*":
        written.pop()
    return ", ".join(written)


def strip_annotations(text: str) -> str:
    """Return source without the annotations of functions and variables, and without notes to linters.

    The fields of a dataclass keep theirs: they are what makes them fields.
    """
    text = re.sub(r"  # (type: ignore|noqa)\b.*", "", text)
    source = Source(text)
    kept = set()  # the fields of dataclasses
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef):
            strip_signature(source, node)
        elif isinstance(node, ast.ClassDef) and any("dataclass" in source.of(d) for d in node.decorator_list):
            kept.update(node.body)
        elif isinstance(node, ast.AnnAssign) and node not in kept:
            if node.value is None:
                source.remove([node])
            else:
                begin, end = source.span(node.target)[1], source.span(node.value)[0]
                source.replace_from_to(begin, end, " = ")
    return source.apply()


def strip_signature(
    source: Source, function: ast.FunctionDef, dropped: Callable[[str], bool] = lambda _: False
) -> None:
    """Write a function's first line again, from its name to the colon."""
    begin = source.span(function)[0]
    if function.decorator_list:
        begin = source.starts[function.lineno - 1] + function.col_offset
    head = re.match(rb"def\s+\w+\(", source.data[begin:])
    assert head
    last = max((source.span(n)[1] for n in [*ast.walk(function.args)] if hasattr(n, "lineno")), default=begin)
    end = (
        source.span(function.returns)[1]
        if function.returns
        else source.data.index(b")", max(last, begin + head.end())) + 1
    )
    new = f"{write_parameters(source, function, dropped)})"
    source.replace_from_to(begin + head.end(), end, new)


def pairs(node: ast.Assign) -> list[tuple[ast.expr, ast.expr]]:
    """Return what is assigned to what: of `a, b = x, y` each by itself."""
    if len(node.targets) != 1:
        return []
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def stored(function: ast.FunctionDef) -> set[str]:
    """Return the names that a function binds: parameters, and what it assigns."""
    names = {each.arg for each in parameters(function)}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef) and node is not function:
            names.add(node.name)
    return names


def once(function: ast.FunctionDef) -> set[str]:
    """Return the names that a function assigns exactly once, and nothing else binds."""
    names = [n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    bound = {arg.arg for f in functions(function) for arg in parameters(f)}
    return {name for name in names if names.count(name) == 1 and name not in bound}


def arguments(node: ast.Call) -> list[ast.expr | ast.keyword]:
    """Return the arguments of a call, in order."""
    return [*node.args, *node.keywords]


def bare(argument: ast.expr | ast.keyword) -> ast.expr:
    """Return an argument without the name that it is given by."""
    return argument.value if isinstance(argument, ast.keyword) else argument
