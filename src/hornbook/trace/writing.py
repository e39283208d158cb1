"""How the printed file is laid out: as roomy as its lines allow, and never wider than 120 columns."""

from __future__ import annotations

import ast
import copy
import re
from itertools import pairwise
from typing import Any

from hornbook.trace import trees

WIDTH = 120


ROOMY, CLOSE, CLOSER, TIGHT = STYLES = range(4)
"""How much room there is: a blank line between definitions; between files; without what a file says about itself; no
blank lines, and what is short on one line even if its docstring goes."""


class Named(ast.NodeTransformer):
    """Gives names to what tokens stand for, and lets constants be written as they were."""

    def __init__(self, given: dict[str, str]) -> None:
        self.given = given

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.given.get(node.id, node.id)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)  # a docstring

    def visit_Constant(self, node: Any) -> ast.AST:
        own = getattr(node, "text", "")
        if isinstance(node.value, str) and (not own or "\n" in own):
            own = quoted(repr(node.value))
        return ast.Name(own or repr(node.value), ast.Load()) if node.value is not ... else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp) and not node.keywords:
            return ast.Name(ast.unparse(node.func) + ast.unparse(node.args[0]), ast.Load())  # one pair of brackets
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        for each in ast.walk(node):
            if isinstance(each, ast.Name):
                self.visit_Name(each)
        return ast.Name(quoted(ast.unparse(node)), ast.Load())


def quoted(text: str) -> str:
    """Return a string with double quotes around it, where there are none inside."""
    return re.sub(r"^(f?)'(.*)'$", r'\1"\2"', text) if '"' not in text and "\\'" not in text else text


class Writer:
    """Writes definitions down in a style."""

    def __init__(self, style: int) -> None:
        self.style = style

    def write(self, body: list[Any], indent: str = "") -> list[str]:
        """Return statements as lines."""
        body = joined(body, WIDTH - len(indent)) if self.style == TIGHT else body
        return [line for each in body for line in self.statement(each, indent)]

    def statement(self, node: Any, indent: str) -> list[str]:
        """Return a statement as lines, its comments with it."""
        above, note, words = [indent + each for each in getattr(node, "above", ())], getattr(node, "note", ""), ""
        if not hasattr(node, "body"):
            first, *others = code(node, indent)
            return [*above, *noted(first, note), *others]
        inside, (*before, head) = node.body, heads(node, indent)
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and (words := ast.get_docstring(node) or ""):
            inside, note = inside[1:] or [ast.Pass()], note or fitting(paragraph(words), WIDTH - len(head) - 4)
        body = self.write(inside, indent + "    ")
        is_short = len(body) == 1 and not hasattr(inside[0], "body") and not getattr(node, "orelse", None)
        may_join = is_short and not isinstance(node, ast.ClassDef | ast.Try)
        if may_join and (line := together(head, body[0], note, self.style == TIGHT)):
            return [*above, *before, line]
        return [*above, *before, *noted(head, note), *body, *self.rest(node, indent)]

    def rest(self, node: Any, indent: str) -> list[str]:
        """Return what follows a statement's body: except, else, finally."""
        lines = [line for each in getattr(node, "handlers", ()) for line in self.statement(each, indent)]
        other: list[Any] = getattr(node, "orelse", [])
        (only, *_) = other or [None]
        if isinstance(node, ast.If) and isinstance(only, ast.If) and len(other) == 1 and not getattr(only, "above", ()):
            first, *more = self.statement(only, indent)
            return [*lines, f"{indent}el{first.strip()}", *more]
        for word, body in (("else", other), ("finally", getattr(node, "finalbody", ()))):
            lines += [f"{indent}{word}:", *self.write(body, indent + "    ")] if body else []
        return lines


def heads(node: Any, indent: str) -> list[str]:
    """Return the first lines of a statement with a body: its decorators, and what ends in a colon."""
    bare = copy.copy(node)
    bare.body = [ast.Pass()]
    for field in ("orelse", "finalbody", "handlers"):
        if hasattr(bare, field):
            setattr(bare, field, [])
    return [line for each in ast.unparse(bare).split("\n")[:-1] for line in broken(indent + each)]


def code(node: Any, indent: str) -> list[str]:
    """Return a simple statement as lines that are not too long; `self.a, self.b = x, y` is rather two than broken."""
    line, both = ast.unparse(node), trees.pairs(node)
    free = all(ast.unparse(target) not in ast.unparse(value) for target, _ in both for _, value in both)
    if len(both) > 1 and len(indent + line) > WIDTH and free:
        return [each for pair in both for each in broken(indent + " = ".join(map(ast.unparse, pair)))]
    if isinstance(node, ast.Assign | ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1:
        line = line.removesuffix(ast.unparse(node.value)) + ", ".join(map(ast.unparse, node.value.elts))
    return broken(indent + re.sub(r"\b([\w.]+) \*\* ([\w.]+)", r"\1**\2", line))


def joined(body: list[Any], width: int) -> list[Any]:
    """Return statements with neighbours as one, `a, b = x, y`, where that fits and the second can't need the first."""
    kept: list[Any] = []
    for each in body:
        last, new = trees.pairs(kept[-1]) if kept else [], trees.pairs(each)
        bound = {n.id for target, _ in last for n in ast.walk(target) if isinstance(n, ast.Name)}
        is_plain = last and new and all(isinstance(target, ast.Name | ast.Attribute) for target, _ in (*last, *new))
        if is_plain and not (each.above or each.note or kept[-1].note or bound & {*trees.names([each.value])}):
            trees.assign(both := copy.copy(kept[-1]), [*last, *new])
            if len(ast.unparse(both)) - 2 <= width:  # without brackets
                kept[-1] = both
                continue
        kept.append(each)
    return kept


def noted(line: str, note: str) -> list[str]:
    """Return a line with a comment behind it, or where that does not fit, above it."""
    indent = line[: len(line) - len(line.lstrip())]
    whole = f"{line}  # {note}"
    return [line] if not note else [whole] if len(whole) <= WIDTH else [f"{indent}# {note}", line]


def broken(line: str) -> list[str]:
    """Break a line that is too long inside of its longest bracket, behind commas."""
    spans: list[tuple[int, int, list[int]]] = []
    waiting: list[tuple[int, list[int]]] = []
    bare = re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', lambda match: "_" * len(match[0]), line)
    for place, sign in enumerate(bare):
        if sign in "([{":
            waiting.append((place, []))
        elif sign in ")]}":
            begin, commas = waiting.pop()
            spans.append((begin, place, commas))
        elif sign == "," and waiting:
            waiting[-1][1].append(place + 1)
    if len(line) <= WIDTH or not spans:
        return [line]
    begin, end, commas = max(spans, key=lambda span: span[1] - span[0])
    indent = " " * (len(line) - len(line.lstrip()))
    pieces = [line[i:j].strip() for i, j in pairwise([begin + 1, *commas, end])]
    rows = [pieces[0]]
    for piece in pieces[1:]:
        if len(indent) + 4 + len(rows[-1]) + 1 + len(piece) <= WIDTH:
            rows[-1] += f" {piece}"
        else:
            rows.append(piece)
    inside = [each for row in rows for each in broken(f"{indent}    {row}")]
    return [line[: begin + 1], *inside, indent + line[end:]]


def paragraph(words: str) -> str:
    """Return the first paragraph of a text, in one line."""
    return " ".join(words.strip().split("\n\n")[0].split())


def fitting(words: str, width: int) -> str:
    """Return the beginning of a text that fits: up to the end of a sentence, a semicolon or a colon; or nothing."""
    sentence = re.split(r"(?<=[.?!])\s", words)[0].removesuffix(".")
    ends = [*(match.start() for match in re.finditer(r"[;:] ", sentence)), len(sentence)]
    fit = [sentence[:end] for end in ends if end <= width]
    whole = [each for each in fit if all(each.count(a) == each.count(b) for a, b in ("()", "[]"))]
    return whole[-1] if whole else ""


def together(head: str, body: str, note: str, tight: bool) -> str:
    """Return a head and its only statement as one line; nothing where that does not fit, its comments with it."""
    code, _, other = body.strip().partition("  # ")
    both = note and other and not other.startswith("(")  # a shape is in the docstring too
    choices = [f"{note}; {other}", other] if both else [note or other, ""]
    usable = choices if tight else choices[: not both]
    lines = [f"{head} {code}  # {words}" if words else f"{head} {code}" for words in usable]
    return next((line for line in lines if len(line) <= WIDTH), "")
