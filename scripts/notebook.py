"""Run a notebook's cells in the working directory, and write their outputs into it.

    python scripts/notebook.py NOTEBOOK

Needs no Jupyter: a cell's standard output and the value of its last expression are its outputs.
"""

import ast
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


def execute(notebook: dict[str, Any]) -> list[Cell]:
    """The notebook's cells with the outputs that they have now. Raises what a cell raises."""
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    cells: list[Cell] = []
    for cell in notebook["cells"]:
        now: Cell = {}
        if cell["cell_type"] == "code":
            count += 1
            now = {"execution_count": count, "outputs": _run("".join(cell["source"]), names, count)}
        cells.append(cell | now)
    return cells


def _run(source: str, names: dict[str, Any], count: int) -> list[Cell]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {count}", "exec"), names)  # noqa: S102 (the project's own notebook)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), f"cell {count}", "eval"), names)  # noqa: S307
    outputs: list[Cell] = []
    if printed.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(printed.getvalue())})
    if value is not None:
        content = {"text/plain": _lines(repr(value).rstrip("\n"))}
        outputs.append(
            {"data": content, "execution_count": count, "metadata": {}, "output_type": "execute_result"}
        )
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Execute and write back."""
    path = Path(sys.argv[1])
    notebook = json.loads(path.read_text())
    notebook["cells"] = execute(notebook)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
