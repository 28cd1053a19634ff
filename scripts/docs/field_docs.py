"""The docstring line that stands below each field of a class, read from its source."""

import ast
import functools
import inspect
import textwrap


@functools.cache
def field_docs(owner: type) -> dict[str, str]:
    """Field name → its documentation in one line; fields without one are left out. Bases count too."""
    docs: dict[str, str] = {}
    for base in reversed(owner.__mro__):
        if base.__module__.split(".")[0] in ("pipeline", "detectors", "schemas"):
            docs |= _own_docs(base)
    return docs


def _own_docs(owner: type) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    docs: dict[str, str] = {}
    name = None
    for statement in body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            continue
        if name and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            docs[name] = " ".join(str(statement.value.value).split())
        name = None
    return docs
