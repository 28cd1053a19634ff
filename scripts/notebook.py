"""Run a notebook's cells in the working directory, and write their outputs into it.

    python scripts/notebook.py NOTEBOOK

Needs no Jupyter: a cell's standard output, the value of its last expression and the figures that it leaves
open are its outputs.
"""

import ast
import base64
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


def execute(notebook: dict[str, Any]) -> list[Cell]:
    """The notebook's cells with the outputs that they have now. Raises what a cell raises."""
    os.environ["MPLBACKEND"] = "agg"
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
    is_shown = tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";")
    last = tree.body.pop() if is_shown else None
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
    outputs += [
        {"data": {"image/png": png}, "metadata": {}, "output_type": "display_data"} for png in _figures()
    ]
    return outputs


def _figures() -> Iterator[str]:
    """The open figures of Matplotlib as PNG in base64; closed, as Jupyter does."""
    if "matplotlib.pyplot" not in sys.modules:
        return
    from matplotlib import pyplot

    for number in pyplot.get_fignums():
        png = io.BytesIO()
        # Without the version of Matplotlib, and with what lies outside of the axes.
        pyplot.figure(number).savefig(
            png, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None}
        )
        yield base64.b64encode(png.getvalue()).decode()
    pyplot.close("all")


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
