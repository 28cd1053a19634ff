"""The policy test: texts of the user's, what must go from them and what must stay.

Every case runs as an event does: through the field table, the policy of its agent and source, and the pass
over names of the same message.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self, cast

import msgspec
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import ConfigError
from pipeline.redact.fields import EVENT_FIELDS
from pipeline.redact.redactor import RedactedEvent, Redactor
from schemas.event import Event

MAX_BYTES = 4 << 20
MAX_CASES = 10_000
MAX_DEPTH = 100
"""Of lists and mappings within each other: what reading YAML costs grows with the square of it."""
_AGENT = "policy-test"
_PAYLOAD = ("input", "output", "attributes")
_TIME_NS = 1_700_000_000_000_000_000


def _as_text(value: object) -> object:
    """Numbers and dates may be written without quotes."""
    plain = isinstance(value, int | float | date) and not isinstance(value, bool | datetime)
    return str(value) if plain else value


def _as_json(value: object) -> object:
    """What the value is in JSON: YAML has dates, and keys that are no strings."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise ValueError(f"no JSON value: {error}") from None


_Text = Annotated[str, Field(min_length=1, max_length=100_000), BeforeValidator(_as_text)]


class Case(BaseModel):
    """One case of a policy test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: _Text | None = None
    """What is redacted: a text, or"""
    json_: Annotated[Any, BeforeValidator(_as_json)] = Field(default=None, alias="json")
    """a JSON value."""
    must_go: tuple[_Text, ...] = ()
    """Values that must be nowhere in the result."""
    must_stay: tuple[_Text, ...] = ()
    """Values that must be in the result."""
    types: dict[_Text, str] = {}
    """The type that a value must be redacted as."""
    field: str = "input"
    """An event field, or keys of the payload joined by dots."""
    agent: str = _AGENT
    source: str = ""
    environment: str = ""
    name: str = ""
    """What the case is about, for the table."""

    @model_validator(mode="after")
    def _can_fail(self) -> Self:
        if (self.text is None) == (self.json_ is None):
            raise ValueError("a case has either text or json")
        if not (self.must_go or self.must_stay or self.types):
            raise ValueError("a case says what must_go, what must_stay, or types")
        if EVENT_FIELDS.get(self.field) == "untouched":
            raise ValueError(f"field {self.field} is never redacted; name another")
        if self.json_ is not None and self.field in EVENT_FIELDS and self.field not in _PAYLOAD:
            raise ValueError(f"field {self.field} holds a text, no json")
        given = self.text if self.text is not None else _strings(self.json_)
        for value in (*self.must_go, *self.must_stay, *self.types):
            if value not in given:
                raise ValueError(f"{value!r} is not in the case's own {'text' if self.text else 'json'}")
        return self


class PlacedCase(NamedTuple):
    """A case and where it stands in its file; lines count from 1."""

    number: int
    line: int
    case: Case


class Failure(NamedTuple):
    """What a case asks for and the redaction does not do."""

    number: int
    line: int
    name: str
    what: str


def read_cases(file: Path) -> list[PlacedCase]:
    """The cases of a YAML file. Raises ConfigError that names the line."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}; name a file that you can read") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text; save it as UTF-8") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{file} is larger than {MAX_BYTES >> 20} MiB; split it")
    placed = [_case(file, n, line, value) for n, (line, value) in enumerate(_items(file, text), 1)]
    if not 1 <= len(placed) <= MAX_CASES:
        raise ConfigError(f"{file} holds {len(placed)} cases; write a list of 1 to {MAX_CASES}")
    return placed


def run_cases(cases: list[PlacedCase], redactor: Redactor) -> list[Failure]:
    """What does not hold, in the order of the file."""
    return [
        Failure(number, line, case.name, what)
        for number, line, case in cases
        for what in _failures(case, redactor)
    ]


def _items(file: Path, text: str) -> list[tuple[int, object]]:
    """(line, value) of each item of the list that the file is."""
    try:
        _require_readable(file, text)
        loader = yaml.SafeLoader(text)
        root = cast("Any", loader.get_single_node())
        values = cast("object", loader.construct_document(root)) if root else None
    except yaml.MarkedYAMLError as error:
        mark = cast("Any", error.problem_mark or error.context_mark)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{file}{where}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(values, list):
        raise ConfigError(f"{file}: write a list of cases: each begins with `- text:` or `- json:`")
    lines = [_line(node) for node in root.value]
    return list(zip(lines, cast("list[object]", values), strict=True))


def _require_readable(file: Path, text: str) -> None:
    """Raises ConfigError where it nests too deeply, or has an alias: what that stands for may be huge."""
    depth = 0
    for event in cast("Iterator[Any]", yaml.parse(text, Loader=yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{file}, line {_line(event)}: write it out; aliases (*) are not read")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            where = f"{file}, line {_line(event)}"
            raise ConfigError(f"{where}: nested too deeply; a case is a few keys and values")


def _line(marked: Any) -> int:
    return int(marked.start_mark.line) + 1


def _case(file: Path, number: int, line: int, value: object) -> PlacedCase:
    try:
        return PlacedCase(number, line, Case.model_validate(value))
    except ValidationError as error:
        mistake = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in mistake["loc"])
        reason = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            reason = "there is no such key"
        where = f"{file}, line {line}, case {number}"
        raise ConfigError(f"{where}: {key + ': ' if key else ''}{reason}") from None


def _failures(case: Case, redactor: Redactor) -> Iterator[str]:
    result = redactor.redact([[_event(case)]], case.source)[0][0]
    output = _output(case, result)
    for value in case.must_go:
        if value in output:
            yield f"must go, and stays: {value}"
    for value in case.must_stay:
        if value not in output:
            yield f"must stay, and goes: {value}"
    for value, entity in case.types.items():
        actual = _types_of(value, output, result.redactions, redactor, case)
        if entity not in actual:
            yield f"must be {entity}, and is {' or '.join(actual) or 'not redacted'}: {value}"


def _types_of(
    value: str, output: str, counts: Mapping[str, int], redactor: Redactor, case: Case
) -> list[str]:
    """The types that a value was redacted as: proven by what is written for it, else all that were found."""
    if value in output:
        return []
    policy = redactor.policy_of(case.agent, case.source, case.environment)
    keyed = [entity for entity in counts if policy.is_keyed(entity)]
    proven = [entity for entity in keyed if policy.apply(entity, value) in output]
    return proven or [entity for entity in counts if entity not in keyed]


def _event(case: Case) -> Event:
    value = case.text if case.text is not None else case.json_
    fields: dict[str, Any] = {"agent_id": case.agent, "environment": case.environment or None}
    top, *keys = case.field.split(".")
    if case.field in EVENT_FIELDS and case.field not in _PAYLOAD:
        fields[case.field] = [value] if case.field == "scopes" else value
    else:
        if top not in _PAYLOAD:
            top, keys = "attributes", [top, *keys]
        for key in reversed(keys):
            value = {key: value}
        fields[top] = {"value": value} if top == "attributes" and not keys else value
    return Event(start_time_unix_nano=_TIME_NS, **fields)


def _output(case: Case, result: RedactedEvent) -> str:
    """Everything that a reader of the stored event sees in the case's field."""
    if case.field in EVENT_FIELDS and case.field not in _PAYLOAD:
        value = getattr(result.event, case.field)
        return "\n".join(cast("list[str]", value)) if isinstance(value, list) else str(value)
    return _strings(msgspec.json.decode(result.payload))


def _strings(value: object) -> str:
    """All strings, keys and numbers of a JSON value, a line each; JSON in strings also as what it says."""
    return "\n".join(_each_string(value))


def _each_string(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[object, object]", value).items():
            yield str(key)
            yield from _each_string(inner)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _each_string(inner)
    elif isinstance(value, str):
        yield value
        if re.match(r"\s*[\[{]", value):
            try:
                yield from _each_string(msgspec.json.decode(value))
            except (msgspec.DecodeError, RecursionError):
                return
    elif value is not None:
        yield str(value)
