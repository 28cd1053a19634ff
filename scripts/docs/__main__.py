"""Write the generated documentation, or with --check say which of it is stale (exit 1).

python scripts/docs [--check]
"""

import sys
from pathlib import Path

from asyncapi import asyncapi_document
from commands import cli_page
from contracts import contract_schemas
from dashboard import dashboard
from detector_reference import detectors_page
from openapi import openapi_document
from options import configuration_page
from trail_schema import trail_schema_page

DOCS = Path(__file__).resolve().parents[2] / "docs"


def pages() -> dict[Path, str]:
    """Every generated file and what it must hold."""
    written = {
        DOCS / "cli.md": cli_page(),
        DOCS / "configuration.md": configuration_page(),
        DOCS / "detectors-reference.md": detectors_page(),
        DOCS / "asyncapi.yaml": asyncapi_document(),
        DOCS / "openapi.yaml": openapi_document(),
        DOCS / "schema.md": trail_schema_page(),
        DOCS / "operations" / "grafana-dashboard.json": dashboard(),
    }
    return written | {DOCS / "schemas" / f"{name}.json": text for name, text in contract_schemas().items()}


def main() -> int:
    """Exit code 0, or 1 where --check found a stale file."""
    try:
        wanted = pages()
    except LookupError as error:
        sys.stderr.write(f"not documented: {error}\n")
        return 1
    kept = set((DOCS / "schemas").glob("*.json"))
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    stale += sorted(kept - wanted.keys())
    if "--check" in sys.argv:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(DOCS.parent)} is stale: run make docs\n")
        return 1 if stale else 0
    (DOCS / "schemas").mkdir(exist_ok=True)
    for path in stale:
        if path in wanted:
            path.write_text(wanted[path])
        else:
            path.unlink()
        print(path.relative_to(DOCS.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
