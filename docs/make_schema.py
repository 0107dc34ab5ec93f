"""Write docs/events.schema.json and docs/record.schema.json from the classes they describe.

Usage: python docs/make_schema.py (or: just reference)

A test holds the files equal to what this makes, and real output against them.
"""

import ast
import inspect
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mardini_cli import events
from mardini_cli.api.records import FORM, Record

DOCS = Path(__file__).parent
DRAFT = "https://json-schema.org/draft/2020-12/schema"
PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Path: {"type": "string"},
    Fraction: {"type": "string", "pattern": "^-?[0-9]+/[0-9]+$"},
}


def events_schema() -> dict[str, Any]:
    """Of one line of ``--json``."""
    kinds = typing.get_args(events.Event)
    return {
        "$schema": DRAFT,
        "title": "A line of mardini --json",
        "description": "Times are fractions of a second, sizes bytes, elapsed is seconds. New"
        " events and fields may come without a new version: pass over what you do not know.",
        "oneOf": [_event(kind) for kind in kinds],
    }


def record_schema() -> dict[str, Any]:
    """Of the file that ``--sidecar`` writes."""
    table = _table(Record)
    table["properties"]["record"] = {"const": FORM}
    return {"$schema": DRAFT, "title": "A record: OUT.json", **table}


def _event(kind: type[Any]) -> dict[str, Any]:
    table = _table(kind)
    own = {"event": {"const": kind.__name__.lower()}, "schema": {"const": events.SCHEMA}}
    item = {"item": {"type": "integer", "minimum": 1, "description": "In a batch: its number."}}
    return {
        "title": kind.__name__.lower(),
        **table,
        "properties": {**own, **table["properties"], **item},
        "required": [*own, *table["required"]],
    }


def _table(kind: type[Any]) -> dict[str, Any]:
    hints, told = typing.get_type_hints(kind), _descriptions(kind)
    return {
        "description": (inspect.getdoc(kind) or "").splitlines()[0],
        "type": "object",
        "properties": {
            field.name: {**_value(hints[field.name]), **told.get(field.name, {})}
            for field in fields(kind)
        },
        "required": [field.name for field in fields(kind)],
    }


def _descriptions(kind: type[Any]) -> dict[str, dict[str, str]]:
    """The strings that stand under fields."""

    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    told: dict[str, dict[str, str]] = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr):
            assert isinstance(before.target, ast.Name)
            text = ast.literal_eval(after.value)
            told[before.target.id] = {"description": " ".join(text.split())}
    return told


def _value(hint: Any) -> dict[str, Any]:
    if hint in PLAIN:
        return PLAIN[hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_value(one) for one in inner]}
    if origin is tuple:
        assert inner[1] is ...
        return {"type": "array", "items": _value(inner[0])}
    if origin is Mapping:
        return {"type": "object"}
    assert isinstance(hint, type)
    assert is_dataclass(hint)
    return _table(hint)


def text(schema: dict[str, Any]) -> str:
    """As it stands in the file."""
    return json.dumps(schema, indent=1) + "\n"


def main() -> None:
    """Write both files."""
    (DOCS / "events.schema.json").write_text(text(events_schema()), encoding="utf-8")
    (DOCS / "record.schema.json").write_text(text(record_schema()), encoding="utf-8")


if __name__ == "__main__":
    main()
