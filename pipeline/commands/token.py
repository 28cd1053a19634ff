"""`auditfuse token`: who may use the kill switch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.chosen_store import StoreOption
from pipeline.commands.who import who

if TYPE_CHECKING:
    from pipeline.killswitch.tokens import StoredToken, TokenFile

app = typer.Typer(
    help="Tokens of the people, agents and servers that use the kill switch.", no_args_is_help=True
)

Config = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
By = Annotated[str | None, typer.Option("--by", help="Who you are; by default the user of this system.")]
Name = Annotated[str, typer.Argument(help="The person's name, or the agent's id.")]


@app.command()
def create(
    name: Name,
    *,
    role: Annotated[str, typer.Option("--role", help="viewer, responder, approver, agent or peer.")],
    expires: Annotated[
        float | None, typer.Option("--expires", min=0.001, help="End by itself after so many days.")
    ] = None,
    by: By = None,
    config: Config = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it, once: only its hash is stored. It is good within a second.

    A token of the role agent answers for the agent of that name alone. Give the token to `auditfuse` by the
    environment variable AUDITFUSE_TOKEN, to a program as a bearer token.

    Examples:

      auditfuse token create alice --role approver --expires 90

      auditfuse token create invoice-agent --role agent --json
    """
    from pipeline.clock import system_now_ms

    created = _file(config, store).create(name, _role(role), by=who(by), now_ms=system_now_ms(), days=expires)
    if as_json:
        _print_json({"token": created.secret, **_shown(created.token)})
        return
    typer.echo(created.secret)
    typer.echo("This token is shown only now. Lost, it is revoked and made anew.", err=True)


@app.command("list")
def list_tokens(config: Config = None, store: StoreOption = None, as_json: Json = False) -> None:
    """Show every stored token: whose it is, its role, and whether it is good. Tokens of the configuration
    file are not among them.

    Example:

      auditfuse token list
    """
    from pipeline.commands.times import as_text

    shown = [_shown(token) for token in _file(config, store).read()]
    if as_json:
        _print_json({"tokens": shown})
        return
    for one in shown:
        end = f", until {as_text(one['expires_ms'])}" if one["expires_ms"] is not None else ""
        made = f"(by {one['by']}, {as_text(one['created_ms'])})"
        print(f"{one['name']}  {one['role']}  {one['state']}{end}  {made}")
    if not shown:
        print("no tokens are stored")


@app.command()
def revoke(
    name: Name,
    by: By = None,
    config: Config = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Revoke a token: a running server refuses it within a second, and ends its streams.

    Example:

      auditfuse token revoke alice
    """
    from pipeline.clock import system_now_ms

    token = _file(config, store).revoke(name, by=who(by), now_ms=system_now_ms())
    if as_json:
        _print_json(_shown(token))
    else:
        print(f"revoked: {token.name}, {token.role}")


def _file(config: Path | None, store: str | None) -> "TokenFile":
    from pipeline.config import load_config
    from pipeline.killswitch.tokens import TokenFile

    return TokenFile(load_config(config, store=store).killswitch.journal)


def _role(text: str) -> Any:
    from typing import get_args

    from pipeline.errors import ConfigError
    from pipeline.killswitch.config import Role

    if text not in get_args(Role):
        raise ConfigError(f"the role must be one of {', '.join(get_args(Role))}")
    return text


def _shown(token: "StoredToken") -> dict[str, Any]:
    """A token without its hash, and whether it is good."""
    import msgspec

    from pipeline.clock import system_now_ms

    state = "good" if token.is_good(system_now_ms()) else "expired" if token.revoked_ms is None else "revoked"
    fields = msgspec.to_builtins(token)
    del fields["sha256"]
    return {**fields, "state": state}


def _print_json(document: object) -> None:
    import json

    print(json.dumps(document, indent=2, ensure_ascii=False))
