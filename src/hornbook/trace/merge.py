"""Definitions that only hand on to one other are written into it: a maker into what it makes, a name into its value.

This comes last, when nothing is left to be found out: from here on the printed signatures are no longer those of the
package.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from hornbook.trace.definitions import Setting
from hornbook.trace.edits import Source, functions, pairs, parameters, parse, stored
from hornbook.trace.layout import WIDTH, joined, split_comment
from hornbook.trace.sweep import attributes, is_self

Texts = dict[str, str]
"""The source of each definition, by the name that stands for it."""


def merged(texts: Texts, things: Mapping[str, object]) -> Texts:
    """Return definitions with all written into one another that reads better so."""
    texts = dict(texts)
    for step in (thin_class, maker, other_name, kept_setting, other_method):
        while step(texts, things):
            pass
    return texts


def shortened(texts: Texts, things: Mapping[str, object]) -> Texts:
    """Return definitions in which what is used once stands where it is used: functions of one expression, and names."""
    texts = dict(texts)
    for step in (local_name, one_expression):
        while step(texts, things):
            pass
    return texts


def uses(texts: Texts, token: str) -> list[tuple[str, ast.Name]]:
    """Return where a name stands, and in which definition."""
    return [
        (owner, node)
        for owner, text in texts.items()
        if token in text
        for node in ast.walk(parse(text))
        if isinstance(node, ast.Name) and node.id == token
    ]


def calls(tree: ast.AST, token: str) -> list[ast.Call]:
    """Return the calls of a name."""
    return [
        n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == token
    ]


def is_called_only(texts: Texts, token: str) -> bool:
    """Say whether a name stands only where it is called."""
    return len(uses(texts, token)) == sum(len(calls(parse(text), token)) for text in texts.values())


def body_of(node: ast.FunctionDef | ast.ClassDef) -> list[ast.stmt]:
    """Return what stands in a definition, without its docstring."""
    return node.body[1:] if ast.get_docstring(node) else node.body


def replace_calls(texts: Texts, token: str, new: Callable[[Source, ast.Call], str]) -> None:
    """Put something in the place of every call of a name."""
    for owner, text in texts.items():
        while found := calls((source := Source(text)).tree, token):
            source.replace(found[0], new(source, found[0]))
            text = source.apply()
        texts[owner] = text


def thin_class(texts: Texts, things: Mapping[str, object]) -> bool:
    """A class that only fixes what the one above it is given."""
    for token, text in texts.items():
        (node,) = (source := Source(text)).tree.body
        if not isinstance(node, ast.ClassDef) or len(node.bases) != 1 or not is_called_only(texts, token):
            continue
        body = body_of(node)
        if len(body) != 1 or not isinstance(init := body[0], ast.FunctionDef) or len(parameters(init)) != 1:
            continue
        inside = body_of(init)
        if len(inside) == 1 and isinstance(inside[0], ast.Expr) and isinstance(call := inside[0].value, ast.Call):
            base = source.of(node.bases[0])
            if ast.unparse(call.func) == "super().__init__" and "." in base:
                new = base + source.of(call).removeprefix("super().__init__")
                del texts[token]
                replace_calls(texts, token, lambda _source, _call, new=new: new)  # type: ignore[misc]
                return True
    return False


def other_name(texts: Texts, things: Mapping[str, object]) -> bool:
    """A setting that is another one."""
    for token, text in texts.items():
        name, _, value = text.strip().partition(" = ")
        if isinstance(things.get(token), Setting) and value in texts and name:
            del texts[token]
            for owner in texts:
                texts[owner] = texts[owner].replace(token, value)
            return True
    return False


def maker(texts: Texts, things: Mapping[str, object]) -> bool:
    """A function that makes the only object of a class, or all of them: the class makes itself as well."""
    for token, text in texts.items():
        (node,) = (source := Source(text)).tree.body
        if not isinstance(node, ast.ClassDef) or len(uses(texts, token)) != 1:
            continue
        init = next((f for f in functions(node) if f.name == "__init__"), None)
        ((owner, _),) = uses(texts, token)
        home = Source(texts[owner])
        for function in functions(home.tree):
            last = function.body[-1]
            if not (isinstance(last, ast.Return) and isinstance(last.value, ast.Call) and init):
                continue
            if ast.unparse(last.value.func) != token or function.decorator_list or last.value.keywords:
                continue
            if new := self_made(source, init, home, function, last.value):
                texts[token] = new
                give_way(texts, owner, home, function, token)
                return True
    return False


def self_made(source: Source, init: ast.FunctionDef, home: Source, function: ast.FunctionDef, call: ast.Call) -> str:
    """Return a class whose constructor does what `function` did before it called it; nothing where that can't be."""
    names = [arg.arg for arg in parameters(init)][1:]
    given = dict(zip(names, call.args, strict=False))
    own = stored(function)
    around = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    outer = set[str]().union(*(stored(f) for f in functions(home.tree) if f is not function)) - own
    hidden = {name for name in own & stored(init) if not (name in given and ast.unparse(given[name]) == name)}
    if len(given) != len(names) or around & outer or hidden - {arg.arg for arg in parameters(function)}:
        return ""
    body = body_of(init)
    if not body or ast.unparse(body[0]) != "super().__init__()":
        return ""
    for node in ast.walk(init):
        if isinstance(node, ast.Name) and node.id in given:
            source.replace(node, home.of(given[node.id]))
    before = body_of(function)[:-1]
    shift = init.body[0].col_offset - function.body[0].col_offset
    if before:
        begin, end = home.block(before)
        lines = home.data[begin:end].decode("utf-8").splitlines(keepends=True)
        place = source.block([body[0]])[1]
        moved = "".join(" " * shift + line if shift > 0 else line[-shift:] for line in lines)
        source.replace_from_to(place, place, moved)
    first, last = parameters(init)[1:2], parameters(init)[-1:]
    wanted = ", ".join(arg.arg for arg in parameters(function))
    if first:
        begin = source.span(parameters(init)[0])[1]
        source.replace_from_to(begin, source.span(last[0])[1], f", {wanted}" if wanted else "")
    elif wanted:
        source.replace_from_to(source.span(parameters(init)[0])[1], source.span(parameters(init)[0])[1], f", {wanted}")
    return source.apply()


def give_way(texts: Texts, owner: str, home: Source, function: ast.FunctionDef, token: str) -> None:
    """Take a function away that a class has taken in, and call the class."""
    if function is home.tree.body[0]:
        del texts[owner]
        replace_calls(texts, owner, lambda source, call: token + source.of(call)[len(owner) :])
    else:
        home.remove([function])
        for call in calls(home.tree, function.name):
            home.replace(call.func, token)
        texts[owner] = home.apply()


def one_expression(texts: Texts, things: Mapping[str, object]) -> bool:
    """A function of one expression that is called in one place."""
    for token, text in texts.items():
        (node,) = (source := Source(text)).tree.body
        if not isinstance(node, ast.FunctionDef) or node.decorator_list or not is_called_only(texts, token):
            continue
        body = body_of(node)
        if len(body) != 1 or len(uses(texts, token)) != 1:
            continue
        (only,) = body
        if isinstance(only, ast.Return | ast.Expr) and only.value is not None:
            ((owner, _),) = uses(texts, token)
            home = Source(texts[owner])
            (call,) = calls(home.tree, token)
            result = only.value
            names = [arg.arg for arg in parameters(node)]
            read = [n for n in ast.walk(result) if isinstance(n, ast.Name) and n.id in names]
            simple = all(isinstance(a, ast.Name | ast.Constant | ast.Attribute) for a in call.args)
            once = all(sum(n.id == name for n in read) <= 1 for name in names)
            if call.keywords or any(isinstance(a, ast.Starred) for a in call.args) or not (simple or once):
                continue
            if len(call.args) != len(names):
                continue
            given = dict(zip(names, call.args, strict=True))
            for name in read:
                arg = given[name.id]
                word = home.of(arg)
                source.replace(name, f"({word})" if isinstance(arg, ast.BinOp | ast.IfExp | ast.BoolOp) else word)
            begin, end = source.span(result)
            after = len(source.data) - end
            inside = source.apply().encode("utf-8")
            word = inside[begin : len(inside) - after].decode("utf-8")
            if isinstance(result, ast.BinOp | ast.IfExp | ast.BoolOp | ast.Compare):
                word = f"({word})"
            home.replace(call, word)
            note = comment_inside(text)
            if note:
                line = home.lines[(call.end_lineno or 0) - 1]
                if b"  # " in line or note == "#":
                    continue
                place = home.starts[(call.end_lineno or 0) - 1] + len(line.rstrip(b"\n"))
                home.replace_from_to(place, place, f"  {note}")
            new = home.apply()
            if max(map(len, joined(new).split("\n"))) - len(token) <= WIDTH:
                texts[owner] = new
                del texts[token]
                return True
    return False


def comment_inside(text: str) -> str:
    """Return the one comment in a function, behind its last line; "#" where there are others."""
    lines = [line for line in text.rstrip().split("\n") if "# " in line]
    if not lines:
        return ""
    return "# " + split_comment(lines[0])[1] if lines == [text.rstrip().split("\n")[-1]] else "#"


def attribute_stores(tree: ast.AST, name: str) -> list[ast.Attribute]:
    """Return where an attribute is assigned."""
    return [
        n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr == name and isinstance(n.ctx, ast.Store)
    ]


def kept_setting(texts: Texts, things: Mapping[str, object]) -> bool:
    """An attribute that only holds a setting."""
    return renamed_attribute(texts, lambda value, _: isinstance(things.get(ast.unparse(value)), Setting))


def other_method(texts: Texts, things: Mapping[str, object]) -> bool:
    """An attribute that only holds a method."""

    def is_method(value: ast.expr, methods: set[str]) -> bool:
        return isinstance(value, ast.Attribute) and ast.unparse(value.value) == "self" and value.attr in methods

    return renamed_attribute(texts, is_method)


def renamed_attribute(texts: Texts, fits: Callable[[ast.expr, set[str]], bool]) -> bool:
    """Read what an attribute of `self` holds in its place, if it is assigned once and nobody else reads it."""
    for token, text in texts.items():
        (node,) = (source := Source(text)).tree.body
        if not isinstance(node, ast.ClassDef):
            continue
        methods = {f.name for f in functions(node)}
        for statement in ast.walk(node):
            for target, value in pairs(statement) if isinstance(statement, ast.Assign) else ():
                if not isinstance(target, ast.Attribute) or not is_self(target.value) or not fits(value, methods):
                    continue
                read = any(is_read_of_others(each, target.attr) for each in texts.values())
                if read or len(attribute_stores(node, target.attr)) != 1:
                    continue
                word = source.of(value)
                for each in ast.walk(node):
                    if isinstance(each, ast.Attribute) and each.attr == target.attr and each is not target:
                        source.replace(each, word)
                kept = [(t, v) for t, v in pairs(statement) if t is not target]  # type: ignore[arg-type]
                if kept:
                    sides = zip(*kept, strict=True)
                    source.replace(statement, " = ".join(", ".join(map(source.of, side)) for side in sides))
                else:
                    source.remove([statement])
                texts[token] = source.apply()
                return True
    return False


def is_read_of_others(text: str, name: str) -> bool:
    """Say whether a text reads an attribute of anything but `self`."""
    return f".{name}" in text and name in attributes(parse(text), of_self=False)


def local_name(texts: Texts, things: Mapping[str, object]) -> bool:
    """A name in a function that the very next statement reads, once."""
    for token, text in texts.items():
        source = Source(text)
        for function in functions(source.tree):
            for block in (getattr(n, "body", None) for n in ast.walk(function)):
                for i, this in enumerate(block if isinstance(block, list) else ()):
                    for following in (block or [])[i + 1 :]:
                        if new := without_name(Source(text), function, this, following, things):
                            texts[token] = new
                            return True
                        if not (isinstance(this, ast.Assign) and is_made(this.value)):
                            break
    return False


def is_made(value: ast.expr) -> bool:
    """Say whether a value is a module of torch, made on the spot: it is the same wherever that is done."""
    return isinstance(value, ast.Call) and ast.unparse(value.func).startswith("nn.")


def without_name(
    source: Source, function: ast.FunctionDef, this: ast.stmt, following: ast.stmt, things: Mapping[str, object]
) -> str:
    """Return a text in which a statement holds what the one before it gave a name; nothing where that can't be."""
    if not (
        isinstance(this, ast.Assign) and isinstance(target := this.targets[0], ast.Name) and len(this.targets) == 1
    ):
        return ""
    names = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == target.id]
    there = [n for n in ast.walk(following) if isinstance(n, ast.Name) and n.id == target.id]
    inner = (ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp, ast.Lambda)
    loops = [n for n in ast.walk(following) if isinstance(n, inner) for n in ast.walk(n)]
    if (
        isinstance(things.get(ast.unparse(this.value)), Setting)
        and sum(isinstance(n.ctx, ast.Store) for n in names) == 1
    ):
        for name in names[1:]:
            source.replace(name, source.of(this.value))
        source.remove([this])
        return source.apply()
    if len(names) != 2 or len(there) != 1 or there[0] in loops or hasattr(following, "body"):
        return ""
    if "#" in source.data.splitlines()[(this.end_lineno or 0) - 1].decode() or this.end_lineno != this.lineno:
        return ""
    word = source.of(this.value)
    if isinstance(this.value, ast.BinOp | ast.IfExp | ast.BoolOp | ast.Compare):
        word = f"({word})"
    source.replace(there[0], word)
    source.remove([this])
    new = source.apply()
    return new if max(map(len, joined(new).split("\n"))) <= WIDTH else ""
