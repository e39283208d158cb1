"""How the printed file is laid out: as roomy as its lines allow, and never wider than 120 columns."""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from itertools import pairwise

from hornbook.trace.edits import Source, pairs, parse

WIDTH = 120


@dataclass(frozen=True)
class Style:
    """How much room there is."""

    docstrings: str
    """whole; first: the first paragraph; line: as a comment, behind what it is about"""
    blanks: int
    """blank lines: 0 none, 1 between chapters, 2 between files, 3 between definitions, 4 two there"""
    inside: bool = False
    """a blank line between the methods of a class"""
    sections: bool = False
    """what a file says about itself, above what comes from it"""
    short: bool = True
    """what is used once stands where it is used"""
    packed: bool = True
    """several settings on a line"""
    tight: bool = False
    """a body of one statement on the line of its head"""


STYLES = (
    Style("whole", 4, inside=True, sections=True, short=False, packed=False),
    Style("first", 3, inside=True, sections=True, short=False, packed=False),
    Style("first", 3, sections=True, short=False, packed=False),
    Style("line", 3, sections=True, short=False, packed=False),
    Style("line", 3, sections=True, short=False),
    Style("line", 3, short=False),
    Style("line", 2, sections=True, short=False),
    Style("line", 2, sections=True),
    Style("line", 2),
    Style("line", 1),
    Style("line", 2, tight=True),
    Style("line", 1, tight=True),
    Style("line", 0, tight=True),
)
"""From roomy to tight: the first in which a file is short enough is taken."""


def lay_out(text: str, style: Style) -> str:
    """Return one definition in a style, without the blank lines around it."""
    text = with_docstrings(joined(text), style.docstrings, style.tight)
    if style.tight:
        text = compact(one_return(side_by_side(text)))
    lines = [line.rstrip() for line in text.strip("\n").split("\n")]
    (node,) = parse(text).body
    methods = set()
    if isinstance(node, ast.ClassDef) and style.inside:
        functions = [member for member in node.body[1:] if isinstance(member, ast.FunctionDef)]
        methods = {min([f.lineno, *(d.lineno for d in f.decorator_list)]) for f in functions}
    kept: list[str] = []
    for number, line in enumerate(lines, 1):
        if number in methods:
            comments = 0
            while kept[-1 - comments].strip().startswith("#"):
                comments += 1
            kept.insert(len(kept) - comments, "")
        if line:
            kept.append(line)
    return "\n".join(kept)


def heads(source: Source) -> list[tuple[int, int]]:
    """Return the first and the last line of each simple statement, and of each compound one's head, last ones first."""
    found = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.stmt):
            end = node.end_lineno or node.lineno
            if isinstance(body := getattr(node, "body", None), list):
                end = body[0].lineno - 1
                while end > node.lineno and not source.lines[end - 1].rstrip().endswith(b":"):
                    end -= 1
            found.add((node.lineno, max(end, node.lineno)))
    return sorted(found, reverse=True)


def joined(text: str) -> str:
    """Return source in which what is broken over lines stands on one where that fits, else on as few as will do."""
    text = text.rstrip("\n")
    source = Source(text)
    lines = text.split("\n")
    for first, end in heads(source):
        if end == first and len(lines[first - 1]) > WIDTH and (rows := apart(lines[first - 1])):
            lines[first - 1 : first] = rows
            continue
        piece = lines[first - 1 : end]
        if end == first or any("#" in line for line in piece) or '"""' in "".join(piece):
            continue
        for shorter in ([one_line(piece)], packed(piece)):
            after = [*lines[: first - 1], *shorter, *lines[end:]]
            if max(map(len, shorter)) <= WIDTH and is_same("\n".join(lines), "\n".join(after)):
                lines = after
                break
    return "\n".join(lines) + "\n"


def apart(line: str) -> list[str]:
    """Return `a, b = x, y`, which is too long, as two assignments; nothing where one reads what the other assigns."""
    if line.endswith(":"):
        return []
    source = Source(line.strip())
    (node,) = source.tree.body
    both = pairs(node) if isinstance(node, ast.Assign) else []
    attributes = all(isinstance(target, ast.Attribute) for target, _ in both)
    if len(both) < 2 or not attributes or any(source.of(t) in source.of(v) for t, _ in both for _, v in both):
        return []
    indent = " " * (len(line) - len(line.lstrip()))
    return [f"{indent}{source.of(target)} = {source.of(value)}" for target, value in both]


def side_by_side(text: str) -> str:
    """Return source in which neighbouring `self.a = x` and `self.b = y` are one assignment, where that fits."""
    source = Source(text)
    lines = text.split("\n")
    for node in reversed([n for n in ast.walk(source.tree) if isinstance(n, ast.FunctionDef)]):
        rows: list[tuple[list[ast.stmt], list[str], list[str]]] = []
        for this in node.body:
            both = pairs(this) if isinstance(this, ast.Assign) else []
            targets, values = [source.of(t) for t, _ in both], [source.of(v) for _, v in both]
            alone = this.end_lineno != this.lineno or "#" in lines[this.lineno - 1]
            if not both or alone or not all(t.startswith("self.") for t in targets):
                rows.append(([this], [], []))
                continue
            row = rows[-1] if rows else ([], [], [])
            line = f"{', '.join(row[1] + targets)} = {', '.join(row[2] + values)}"
            near = row[1] and (row[0][-1].end_lineno or 0) + 1 == this.lineno
            fits = this.col_offset + len(line) <= WIDTH and not any(t in v for t in row[1] for v in values)
            if near and fits:
                rows[-1] = ([*row[0], this], row[1] + targets, row[2] + values)
            else:
                rows.append(([this], targets, values))
        for group, targets, values in rows:
            if len(group) > 1:
                line = " " * group[0].col_offset + f"{', '.join(targets)} = {', '.join(values)}\n"
                source.replace_from_to(*source.block(group), line)
    return source.apply()


def is_same(a: str, b: str) -> bool:
    """Say whether two texts are one program."""
    try:
        return ast.dump(parse(a)) == ast.dump(parse(b))
    except SyntaxError:
        return False


def one_line(lines: list[str]) -> str:
    """Join lines that one bracket holds together."""
    result = lines[0].rstrip()
    for line in map(str.strip, lines[1:]):
        if line[:1] in tuple(")]}"):
            result = result.removesuffix(",") + line
        else:
            result += line if result[-1:] in tuple("([{") else f" {line}"
    return result


def packed(lines: list[str]) -> list[str]:
    """Put the members of a bracket, each on a line of its own, on as few lines as will do."""
    indent = re.match(" *", lines[1])[0]  # type: ignore[index]
    members: list[str] = []
    for line in lines[1:-1]:
        if line.startswith(f"{indent} ") or line.strip()[:1] in tuple(")]}"):
            members[-1] = one_line([members[-1], line])
        else:
            members.append(line)
    rows = [members[0]] if members else []
    for member in members[1:]:
        if len(rows[-1]) + 1 + len(member.strip()) <= WIDTH:
            rows[-1] += f" {member.strip()}"
        else:
            rows.append(member)
    return [lines[0], *rows, lines[-1]]


def with_docstrings(text: str, how: str, tight: bool = False) -> str:
    """Return source with its docstrings whole, or short."""
    if how == "whole":
        return text
    source = Source(text)
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or not (words := ast.get_docstring(node)):
            continue
        first = node.body[0]
        indent = " " * first.col_offset
        begin, end = source.block([first])
        if how == "first":
            lines = textwrap.wrap(f'"""{doc_words(words)}"""', WIDTH - len(indent), break_on_hyphens=False)
            source.replace_from_to(begin, end, "".join(f"{indent}{each}\n" for each in lines))
            continue
        head = source.lines[first.lineno - 2].decode("utf-8").rstrip()
        begin -= len(source.lines[first.lineno - 2])
        rest = f"{indent}pass\n" if len(node.body) == 1 else ""
        room = WIDTH - len(head) - 4
        if (
            tight
            and isinstance(node, ast.FunctionDef)
            and len(node.body) == 2
            and "  # " not in source.of(node.body[1])
        ):
            last = source.lines[node.body[1].lineno - 1].decode("utf-8").strip()
            if node.body[1].lineno == node.body[1].end_lineno == (first.end_lineno or 0) + 1 and "  # " not in last:
                room = max(room - len(last) - 1, 0) if len(head) + len(last) < WIDTH - 24 else room
        words = fitting(doc_words(words), room)
        source.replace_from_to(begin, end, f"{head}{f'  # {words}' if words else ''}\n{rest}")
    return source.apply()


def doc_words(words: str) -> str:
    """Return the first paragraph of a docstring, in one line."""
    return " ".join(words.strip().split("\n\n")[0].split())


def fitting(words: str, width: int) -> str:
    """Return the first sentence of a text, or as much of it as fits and can stand alone."""
    words = re.split(r"(?<=\.)\s", words)[0].removesuffix(".")
    if len(words) <= width:
        return words
    ends = [match.start() for match in re.finditer(r"[:;,] | \(| from ", words) if match.start() <= width]
    whole = [words[:end] for end in ends if words[:end].count("(") == words[:end].count(")")]
    return whole[-1] if whole else ""


def compact(text: str) -> str:
    """Return source in which a body of one short statement stands behind its head."""
    done = False
    while not done:
        done = True
        source = Source(text)
        lines = text.rstrip("\n").split("\n")
        for node in ast.walk(source.tree):
            body = getattr(node, "body", None)
            if not isinstance(node, ast.If | ast.For | ast.With | ast.FunctionDef) or not body or len(body) != 1:
                continue
            (only,) = body
            first, last = node.lineno, only.lineno
            is_simple = not isinstance(getattr(only, "body", None), list) and not isinstance(only, ast.Pass)
            if getattr(node, "orelse", None) or not is_simple or last != only.end_lineno or last != first + 1:
                continue
            head, note = split_comment(lines[first - 1])
            tail, other = split_comment(lines[last - 1])
            line = f"{head} {tail.strip()}"
            words = "; ".join(each for each in (note, other) if each)
            choices = (
                [words, note, other] if other.startswith("(") else [words, other]
            )  # shapes are in the docstring too
            notes = [each for each in choices if each and len(f"{line}  # {each}") <= WIDTH]
            line += f"  # {notes[0]}" if notes else ""
            if (notes or not words) and len(line) <= WIDTH and not before_an_else(lines, last):
                text = "\n".join([*lines[: first - 1], line, *lines[last:]]) + "\n"
                done = False
                break
    return text


def one_return(text: str) -> str:
    """Return source in which `if a: return b` before `return c` is one statement, where that fits."""
    source = Source(text)
    for node in ast.walk(source.tree):
        body = getattr(node, "body", None)
        for this, following in pairwise(body if isinstance(body, list) else ()):
            if not (isinstance(this, ast.If) and not this.orelse and isinstance(only := this.body[0], ast.Return)):
                continue
            if not isinstance(following, ast.Return) or only.value is None or following.value is None:
                continue
            begin, end = source.block([this])[0], source.block([following])[1]
            if "#" in source.data[begin:end].decode("utf-8"):
                continue
            words = [source.of(each) for each in (only.value, this.test, following.value)]
            if isinstance(this.test, ast.UnaryOp) and isinstance(this.test.op, ast.Not):
                words = [words[2], source.of(this.test.operand), words[0]]
            line = " " * this.col_offset + "return {} if {} else {}\n".format(*words)
            if len(line) <= WIDTH + 1:
                source.replace_from_to(begin, end, line)
    return source.apply()


def before_an_else(lines: list[str], last: int) -> bool:
    """Say whether the next line goes on with the same statement."""
    return last < len(lines) and lines[last].strip().startswith(("else", "elif", "except", "finally"))


def split_comment(line: str) -> tuple[str, str]:
    """Return a line without the comment behind it, and the comment."""
    code, found, comment = line.partition("  # ")
    return (code, comment) if found else (line, "")


def paired(lines: list[str]) -> list[str]:
    """Put assignments of numbers, each with a comment, several on a line where that fits."""
    rows: list[str] = []
    for line in lines:
        code, note = split_comment(line)
        line = f"{code}  # {re.split('[;:,(]', note)[0].strip()}" if note else line
        if rows and (both := together(rows[-1], line)):
            rows[-1] = both
        else:
            rows.append(line)
    return rows


def together(a: str, b: str) -> str:
    """Return two assignments as one line; nothing where that does not fit, or one needs the other."""
    (left, first), (right, second) = split_comment(a), split_comment(b)
    (names, values), (name, value) = left.split(" = ", 1), right.split(" = ", 1)
    line = f"{names}, {name} = {values}, {value}  # {first}; {second}"
    depends = any(re.search(rf"\b{each}\b", value) for each in names.split(", "))
    return line if len(line) <= WIDTH and not depends and " if " not in line else ""
