"""A person is found by every pseudonym and by the raw value that redaction missed, and by nothing else."""

from pathlib import Path

import msgspec
import pytest
from support.audit import claim, event_row, event_rows
from support.erase import erase, event_rows_of, settings_in, store_of

from pipeline.audit.erase.values import needles, read_values
from pipeline.audit.verify import verify_store
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.keys import Keys
from pipeline.redact.pseudonym import Pseudonyms
from schemas.record import Payload, Row

EMAIL = "Zoë.Quill@Example.org"


def token(config: Config, entity: str, value: str, key_id: str = "k1") -> str:
    """The pseudonym that redaction makes with that key."""
    return Pseudonyms(key_id, Keys(config.keys.path).get(f"pseudonym-{key_id}"), "US").token(entity, value)


def sealed(config: Config, *rows: Row) -> None:
    """A store with two rows of no concern at each side of these."""
    around = event_rows(0, 1)[0]
    last = event_row(90)
    claim(store_of(config)).seal([around, *rows, last], 91)


def with_payload(offset: int, payload: str) -> Row:
    """An event with this payload, as it is stored."""
    return msgspec.structs.replace(event_row(offset), payload=payload.encode())


def _said(text: str) -> str:
    return msgspec.json.encode(Payload(input=text, output=None, attributes={})).decode()


def lost(config: Config) -> tuple[set[int], set[int]]:
    """Offsets of the rows that are gone, and of those that lost their payload alone."""
    rows = list(event_rows_of(store_of(config)))
    gone = {row["offset"] for row in rows if row["meta"] is None}
    return gone, {row["offset"] for row in rows if row["payload"] is None} - gone


def test_every_key_and_type(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    told = [token(config, "EMAIL_ADDRESS", EMAIL), token(config, "USER_ID", EMAIL, "k0")]
    other = token(config, "EMAIL_ADDRESS", "somebody.else@example.org")
    sealed(
        config,
        event_row(1, end_user=told[0]),
        event_row(2, end_user=other),
        event_row(3, target=f"mailbox/{told[1]}/inbox"),
        with_payload(4, _said(f"write to {told[0]} now")),
        with_payload(5, _said(f"write to {other} now")),
    )
    outcome = erase(config, what="where_found", values=[EMAIL])
    assert lost(config) == ({1, 3}, {4})
    assert (outcome.rows, outcome.payloads) == (2, 1)
    assert verify_store(store_of(config)).holds


@pytest.mark.parametrize(
    "written",
    [
        _said("to zoë.quill@EXAMPLE.org!"),
        _said("to Zoe\u0308.Quill@Example.org!"),
        '{"input":"to Zo\\u00eb.Quill@Example.org","output":null,"attributes":{}}',
        _said('{"to":"Zo\\u00eb.Quill@Example.org"}'),
        _said("https://x.example/?to=Zo%C3%AB.Quill%40Example.org"),
        _said("ZOË.QUILL@EXAMPLE.ORG"),
    ],
)
def test_the_raw_value_where_redaction_missed_it(tmp_path: Path, written: str) -> None:
    config = settings_in(tmp_path)
    sealed(config, with_payload(1, written))
    erase(config, what="where_found", values=[EMAIL])
    assert lost(config) == (set(), {1})


def test_a_phone_number_however_it_is_written(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    sealed(
        config,
        event_row(1, principal=token(config, "PHONE_NUMBER", "(415) 555-0132")),
        with_payload(2, _said("call (415) 555-0132")),
        with_payload(3, _said("call +1 415-555-0132")),
        with_payload(4, '{"input":14155550132,"output":null,"attributes":{}}'),
        with_payload(5, '{"input":9914155550132,"output":null,"attributes":{}}'),
    )
    erase(config, what="where_found", values=["+1 415 555 0132"])
    assert lost(config) == ({1}, {2, 3, 4})


def test_variants_of_a_name_are_listed(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    sealed(
        config,
        event_row(1, principal=token(config, "PERSON", "mia_lindqvist")),
        with_payload(2, _said("by Mia  Lindqvist")),
        with_payload(3, _said(f"by {token(config, 'PERSON', 'MIA LINDQVIST')}")),
        with_payload(4, _said("by Lindqvist, Mia")),
        with_payload(5, _said("by Mia Larsson")),
    )
    found = needles(["Mia Lindqvist"], config.redaction, Keys(config.keys.path))
    assert {"Mia Lindqvist", "Mia_Lindqvist", "Lindqvist, Mia"} <= set(found.name_variants)
    erase(config, what="where_found", values=["Mia Lindqvist"])
    assert lost(config) == ({1}, {3, 4})


def test_rows_or_payloads_on_demand(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    name = token(config, "EMAIL_ADDRESS", EMAIL)
    sealed(config, event_row(1, end_user=name), with_payload(2, _said(name)))
    outcome = erase(config, what="payload", values=[EMAIL])
    assert lost(config) == (set(), {1, 2})
    assert outcome.total.left_in_meta == 1
    assert any("metadata" in what for what in outcome.reached.out_of_reach)
    assert erase(config, what="row", values=[EMAIL]).rows == 1
    assert lost(config) == ({1}, {2})


def test_what_was_asked_is_not_in_the_store(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    sealed(config, event_row(1, end_user=token(config, "EMAIL_ADDRESS", EMAIL)))
    outcome = erase(config, what="where_found", values=[EMAIL])
    content = b"".join(path.read_bytes() for path in config.store.path.rglob("*") if path.is_file())
    assert outcome.salt is not None
    assert outcome.salt.encode() not in content


def test_values_come_from_a_file_that_is_fit(tmp_path: Path) -> None:
    file = tmp_path / "values.txt"
    file.write_text(" jane@example.org \n\n+49 30 1234567\njane@example.org\n")
    file.chmod(0o644)
    values, warning = read_values(file)
    assert values == ["jane@example.org", "+49 30 1234567"]
    assert warning is not None
    assert "chmod 600" in warning
    file.chmod(0o600)
    assert read_values(file)[1] is None
    file.write_text("Li\n")
    with pytest.raises(ConfigError, match="line 1") as refused:
        read_values(file)
    assert "Li" not in str(refused.value).replace("line", "")
