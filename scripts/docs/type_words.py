"""Python types in plain words, for the generated pages."""

import types
import typing
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr


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
