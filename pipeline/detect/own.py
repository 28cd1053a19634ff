"""Detectors of the user's own: Python modules that the configuration names. What they bring is checked
before it runs, and a change of a module's content is a change of the configuration."""

import hashlib
import importlib.util
import stat
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from detectors.base import Case, Detector, DetectorConfig
from detectors.registry import DETECTORS
from pipeline.errors import ConfigError
from schemas.finding import Severity

ATTRIBUTE = "DETECTORS"
"""What a module calls the tuple of its detector classes."""
COUNTS = ("test", "hits_sql", "hits", "eligible", "floor_hits", "say_statistic", "say_floor")
RULES = ("observe", "close", "state", "load")
_SHIPPED = frozenset(detector.name for detector in DETECTORS)


class Source(NamedTuple):
    """A module as it was read: what is hashed is what runs."""

    name: str
    """As the configuration names it."""
    path: Path
    content: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hex."""
        return hashlib.sha256(self.content).hexdigest()


def read_module(name: str) -> Source:
    """A module's source: of a path (it ends in .py), else of what can be imported under the name.

    Raises ConfigError, also where everybody may write to the file or to its folder.
    """
    path = Path(name) if name.endswith(".py") else _importable(name)
    try:
        if not path.is_file():
            raise ConfigError(f"detect.modules: {path} is not a file")
        for place in (path, path.resolve().parent):
            mode = place.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise ConfigError(f"detect.modules: everybody may write to {place}; chmod o-w {place}")
        return Source(name, path, path.read_bytes())
    except OSError as error:
        raise ConfigError(f"detect.modules: {path} cannot be read: {error.strerror}") from None


def own_detectors(digests: Mapping[str, str]) -> list[type[Detector]]:
    """The detector classes of modules (name → SHA-256 of the content), in order. Runs the modules' code.

    Raises ConfigError for what cannot run, is no detector, has a name that is taken, or has changed.
    """
    found: list[type[Detector]] = []
    for name, digest in digests.items():
        for detector in _loaded(name, digest):
            if detector.name in {other.name for other in found}:
                raise ConfigError(f"detect.modules: {name}: two detectors are called {detector.name!r}")
            found.append(detector)
    return found


def own_settings(detector: type[Detector], section: Mapping[str, Any]) -> DetectorConfig:
    """The settings of a detector. Raises ConfigError that names key and reason of every mistake."""
    try:
        return detector.Config.model_validate(section)
    except ValidationError as error:
        lines = [
            f"detect.own.{'.'.join([detector.name, *map(str, mistake['loc'])])}: {_reason(mistake)}"
            for mistake in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigError("\n".join(lines)) from None


def _reason(mistake: ErrorDetails) -> str:
    return "there is no such option" if mistake["type"] == "extra_forbidden" else mistake["msg"]


def _importable(name: str) -> Path:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise ConfigError(f"detect.modules: there is no module {name!r}; a file's name ends in .py")
    return Path(spec.origin)


@lru_cache
def _loaded(name: str, digest: str) -> tuple[type[Detector], ...]:
    source = read_module(name)
    if source.digest != digest:
        raise ConfigError(f"detect.modules: {name} has changed since it was read; start again")
    module = _run(source)
    classes: Any = getattr(module, ATTRIBUTE, None)
    if type(classes) not in (tuple, list) or not classes:
        raise ConfigError(f"detect.modules: {name} has no {ATTRIBUTE} = (YourDetector, …)")
    mistakes = [f"detect.modules: {name}: {mistake}" for one in classes for mistake in _mistakes(one)]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return tuple(classes)


def _run(source: Source) -> ModuleType:
    """A path's content is run as it was read. What is imported by name may already be, and is then that."""
    try:
        if not source.name.endswith(".py"):
            return importlib.import_module(source.name)
        module = ModuleType(f"auditfuse_own_{source.path.stem}_{source.digest[:12]}")
        module.__file__ = str(source.path)
        sys.modules[module.__name__] = module  # for pydantic and pickle, which look classes up by it
        exec(compile(source.content, str(source.path), "exec"), module.__dict__)  # noqa: S102 (named by the operator)
    except Exception as error:  # noqa: BLE001 (whatever a user's code raises)
        where = f"{type(error).__name__}{_line(error, str(source.path))}"
        raise ConfigError(f"detect.modules: {source.name} cannot be loaded: {where}: {error}") from None
    return module


def line_in_module(error: BaseException, detector: type) -> str:
    """ " in line 12" of the module that a detector's class is from, where the error came through it."""
    return _line(error, str(getattr(sys.modules.get(detector.__module__), "__file__", "")))


def _line(error: BaseException, path: str) -> str:
    if isinstance(error, SyntaxError):
        return f" in line {error.lineno}"
    line, trace = 0, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == path else line
        trace = trace.tb_next
    return f" in line {line}" if line else ""


def _mistakes(detector: Any) -> Iterator[str]:
    """What a class lacks to be a detector."""
    name = getattr(detector, "name", None)
    if not isinstance(detector, type) or not isinstance(name, str) or not name.isidentifier():
        yield f"{getattr(detector, '__name__', detector)!s} needs a name, of letters, digits and _"
        return
    who = f"detector {name}"
    if name in _SHIPPED:
        yield f"{who}: a detector that ships has this name"
    config = getattr(detector, "Config", None)
    if not (isinstance(config, type) and issubclass(config, DetectorConfig)):
        yield f"{who}: Config must be a subclass of detectors.base.DetectorConfig"
    if getattr(detector, "severity", None) not in get_args(Severity):
        yield f"{who}: severity must be one of {', '.join(get_args(Severity))}"
    if not isinstance(getattr(detector, "runbook", None), str):
        yield f"{who}: runbook must say where its runbook is"
    if not _are_cases(getattr(detector, "cases", None)):
        yield f"{who}: cases must be a tuple of detectors.base.Case"
    needs = getattr(detector, "needs", None)
    if not isinstance(needs, tuple):
        yield f"{who}: needs must be a tuple of signal columns"
    wanted = COUNTS if hasattr(detector, "hits") else RULES
    abstract = getattr(detector, "__abstractmethods__", frozenset[str]())
    lacking = [attribute for attribute in wanted if not hasattr(detector, attribute)] + sorted(abstract)
    if lacking:
        kind = "counts" if wanted is COUNTS else "is a rule (it has no hits)"
        yield f"{who} {kind} and lacks {', '.join(lacking)}"


def _are_cases(cases: object) -> bool:
    return isinstance(cases, tuple) and all(isinstance(c, Case) for c in cast("tuple[object, ...]", cases))
