"""Python types in plain words, for the generated pages."""

import types
import typing
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr
from pydantic.fields import FieldInfo


def type_words(annotation: Any) -> str:
    """A type as a person would say it; None is left out."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(f"`{value}`" for value in arguments)
    if origin is typing.Annotated:
        return type_words(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return type_words(next(part for part in arguments if part is not type(None)))
    if origin is dict:
        return "table"
    if origin in (tuple, list):
        return f"list of {type_words(arguments[0])}"
    names = {str: "string", int: "integer", float: "number", bool: "true or false", Path: "path"}
    return names.get(annotation, "secret" if annotation is SecretStr else annotation.__name__)


def bounds_words(field: FieldInfo) -> str:
    """ ", ≥ 0" for a field that is bounded."""
    words = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(rule, key):,}"
        for rule in field.metadata
        for key, sign in words.items()
        if getattr(rule, key, None) is not None
    ]
    return f", {', '.join(found)}" if found else ""


def value_words(value: Any) -> str:
    """A default as a person would write it."""
    match value:
        case None | ():
            return "none"
        case bool():
            return str(value).lower()
        case int():
            return f"{value:,}"
        case float():
            return f"{value:g}"
        case tuple():
            return ", ".join(f"`{item}`" for item in value)
    return f"`{value.get_secret_value() if isinstance(value, SecretStr) else value}`"
