"""`auditfuse pseudonym`: the tokens that stand for a known value, for whoever may read the keys."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.who import who

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.keys import Keys
    from pipeline.redact.lookup import Lookup


def pseudonym(
    value: Annotated[
        str, typer.Argument(help="The value; - reads it from stdin, and so keeps it out of the history.")
    ],
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only as this type, such as PERSON. Repeat it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all-types", help="As every type that there is.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print what stands for a known value in the trail: under every kept key, as every type it may have.

    Needs the keys, so only those can ask who may read them; a log line says that somebody asked, never for
    what. Without --type: the types that redaction sees in the value, and those it looks like. A name is also
    tried with other separators and the last name first. That is never complete: people write names in
    more ways.

    Examples:

      auditfuse pseudonym - --type PERSON

      auditfuse pseudonym marta@example.org --json | jq -r '.[].token'
    """
    from pipeline.config import load_config
    from pipeline.errors import ConfigError
    from pipeline.keys import Keys
    from pipeline.redact.lookup import every_type, is_name

    settings = load_config(config)
    value = (_from_stdin() if value == "-" else value).strip()
    if not value:
        raise ConfigError("there is no value; give one, or a line on stdin with -")
    known = every_type(settings.redaction)
    unknown = sorted(set(types or ()) - set(known))
    if unknown:
        raise ConfigError(f"--type: {', '.join(unknown)} is not looked for; types: {', '.join(known)}")
    keys = Keys(settings.keys.path)
    key_ids = _readable_keys(settings, keys)
    chosen = known if every else types or _types_of(value, settings, keys, key_ids)
    found = _lookups(value, chosen, key_ids, settings, keys)
    _record(settings, chosen, key_ids)
    if as_json:
        typer.echo(json.dumps([_entry(one) for one in found], indent=2))
        return
    _print(found, settings)
    if is_name(value):
        ways = "; ".join(dict.fromkeys(one.written for one in found))
        typer.echo(f"Written as: {ways}. Names are written in more ways than these.", err=True)


def _from_stdin() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Value: ")
    return sys.stdin.readline()


def _readable_keys(settings: Config, keys: Keys) -> list[str]:
    """Ids of the kept keys. Makes none: a new key has made no pseudonyms."""
    from pipeline.errors import ConfigError
    from pipeline.redact.lookup import KEY_PREFIX, kept_key_ids

    path = settings.keys.path
    way_out = "run this where redaction runs, as a user who may read the keys, or set keys.path"
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        key_ids = kept_key_ids(keys)
        for key_id in key_ids:
            keys.get(KEY_PREFIX + key_id)
    except OSError as error:
        raise ConfigError(f"the keys in {path} cannot be read: {error.strerror}; {way_out}") from None
    if not key_ids:
        raise ConfigError(f"there is no pseudonym key in {path}; {way_out}")
    return key_ids


def _types_of(value: str, settings: Config, keys: Keys, key_ids: list[str]) -> list[str]:
    from pipeline.redact.lookup import plausible_types
    from pipeline.redact.redactor import Redactor

    # Without operators: what is kept or allowed now may have been a pseudonym.
    rules = settings.redaction
    plain = type(rules)(
        names="off", entities=rules.entities, phone_regions=rules.phone_regions, pseudonym_key_id=key_ids[-1]
    )
    found = Redactor(plain, keys).redact_text(value).findings
    seen = {hit.entity for hit in found if hit.end - hit.start == len(value) and hit.entity[0] != "!"}
    named = {own.type for one in (rules, *rules.overrides) for own in (*one.deny, *one.fields.values())}
    return sorted({*seen, *named, *plausible_types(value, rules)})


def _lookups(value: str, types: list[str], key_ids: list[str], settings: Config, keys: Keys) -> list[Lookup]:
    from pipeline.redact.lookup import lookups, written

    ways = written(value, settings.redaction.home_region)
    return list(lookups(ways, types, key_ids, keys, settings.redaction))


def _record(settings: Config, types: list[str], key_ids: list[str]) -> None:
    import structlog

    from pipeline.logs import configure_logs

    configure_logs(settings.log)
    structlog.get_logger().info("pseudonyms looked up", by=who(None), types=types, keys=key_ids)


def _entry(one: Lookup) -> dict[str, str]:
    return {"type": one.entity, "key": one.key_id, "token": one.token, "hash": one.hash}


def _print(found: list[Lookup], settings: Config) -> None:
    rules = [settings.redaction, *settings.redaction.overrides]
    hashes = any(o.operator == "hash" for r in rules for o in (*r.operators.values(), *r.fields.values()))
    for one in found:
        typer.echo(one.token)
        if hashes:
            typer.echo(one.hash)
