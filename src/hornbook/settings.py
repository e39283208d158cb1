"""Settings by name: `model.n_layer=8` on the command line or in a TOML file becomes a checked field of a dataclass."""

import ast
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from itertools import pairwise
from math import inf
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from hornbook.errors import UsageError, nearest

Settings = TypeVar("Settings")
Kind = Callable[[Any], bool]

hints = cache(get_type_hints)  # to read them takes as long as all else
WORDS = {"true": True, "false": False, "none": None}


def parse_pairs(pairs: Iterable[str], option: str = "--set ") -> dict[str, str]:
    """Read "name=value" words. Raises `UsageError` for a word without a name or a value, and for a name said twice."""
    settings: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise UsageError(f"{option}{pair} is not of the form NAME=VALUE, such as model.n_layer=8.")
        if name in settings:
            raise UsageError(f"{option}{name} is given twice.")
        settings[name] = value
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of tables (`[model]`, `[recipe]`, `[text]`) as {"model.n_layer": 8, …}."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        str(data)  # raises for a hexadecimal number that is too long to be shown in any message
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}.") from None
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:  # of a number of thousands of digits, of brackets thousands deep
        raise UsageError(f"{path} is not TOML: {error}.") from None
    settings: dict[str, Any] = {}
    for table, values in data.items():
        if not isinstance(values, dict):
            raise UsageError(f"{path}: {table!r} stands outside of a table; begin with a line such as [model].")
        settings |= {f"{table}.{name}": value for name, value in values.items()}
    return settings


def check_names(settings: Mapping[str, Any], groups: Mapping[str, type]) -> None:
    """Raise `UsageError` for the first name that is no field of its group, with the nearest right one."""
    known = [f"{group}.{field.name}" for group, kind in groups.items() for field in fields(kind)]
    for name in settings:
        if name not in known:
            same = [other for other in known if other.partition(".")[2] == name.rpartition(".")[2]]
            raise UsageError(f"{name} is no setting; {nearest(name, same or known)}")


def convert(name: str, value: Any, kind: type) -> Any:
    """Turn a setting's value, a string or what TOML read, into what its field holds. Raises `UsageError`."""
    hint = hints(kind)[name.partition(".")[2]]
    kinds = get_args(hint) or (hint,)
    if isinstance(value, str) and str not in kinds:
        value = WORDS.get(value.lower(), value)
    if value is None and NoneType in kinds:
        return None
    for wanted in kinds:
        if wanted is bool or isinstance(value, bool):
            if wanted is bool and isinstance(value, bool):
                return value
        elif wanted in (int, float):
            try:
                number = wanted(value)
            except (TypeError, ValueError, OverflowError):
                continue
            if isinstance(value, str) or number == value:  # int(0.5) is 0, int("0.5") an error
                return number
        elif isinstance(value, wanted):
            return value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", NoneType: "none"}
    raise UsageError(f"{name}={str(value)[:80]} is not {' or '.join(words[k] for k in kinds)}.")


def read_settings(group: str, settings: Mapping[str, Any], kind: type[Settings]) -> Settings:
    """Make a dataclass of one group from settings such as {"text.split": 0.8}. Raises `UsageError`."""
    check_names(settings, {group: kind})
    return kind(**{name.partition(".")[2]: convert(name, value, kind) for name, value in settings.items()})


def from_plain(group: str, data: Mapping[str, Any], kind: type[Settings]) -> Settings:
    """Make a dataclass from plain data, every name and value checked. Raises `UsageError`."""
    missing = [f.name for f in fields(kind) if f.default is MISSING and f.name not in data]  # type: ignore[arg-type]
    if missing:
        raise UsageError(f"{group}.{missing[0]} is missing.")
    return read_settings(group, {f"{group}.{name}": value for name, value in data.items()}, kind)


def of(kind: type) -> Kind:
    """Return what is true of the values of a type, but not of the infinities."""
    return lambda value: type(value) is kind and value not in (inf, -inf)


def whole(least: int, most: int) -> Kind:
    """Return what is true of whole numbers between two."""
    return lambda value: type(value) is int and least <= value <= most


def word(pattern: str) -> Kind:
    """Return what is true of texts of a pattern."""
    return lambda value: type(value) is str and bool(re.fullmatch(pattern, value))


def check_kinds(data: Mapping[str, Any], kinds: Mapping[str, Kind]) -> None:
    """Raise `UsageError` for the first name that plain data lacks, or has a value of that is not of its kind."""
    for name, right in kinds.items():
        if not right(data.get(name)):
            raise UsageError(f"{name!r} is missing or not what it should be.")


def meanings(kind: type) -> dict[str, str]:
    """Return what each field of a dataclass means: the string that stands under it in the source."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: below.value.value
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
