"""Records in the layouts of structured text: JSON, kwargs, CSV, SQL, logs, values side by side."""

from collections.abc import Callable
from random import Random

from training.corpus import english
from training.corpus.layout import between, key_style, one_record, quoted, several_records, wrapped
from training.corpus.markup import markdown, markup, yaml
from training.corpus.records import Field, styled
from training.corpus.scene import Scene
from training.corpus.template import Piece

_TABLES = (
    "users",
    "customers",
    "orders",
    "passengers",
    "public.contacts",
    "crm.accounts",
    "`patients`",
    "tickets",
)


def sample(scene: Scene, personal: bool = True) -> list[Piece]:
    """One text in a layout that is drawn at random."""
    return scene.rng.choices(_LAYOUTS, _WEIGHTS)[0](scene, personal)


def json_object(scene: Scene, personal: bool) -> list[Piece]:
    """A JSON object, compact or indented, nested or in a list."""
    rng = scene.rng
    style = key_style(rng)
    if rng.random() < 0.3:
        objects = [_json(rng, row, style) for row in several_records(scene, personal, 1, 3)]
        return wrapped("[", between(objects, ", "), "]")
    made = _json(rng, one_record(scene, personal), style)
    if rng.random() < 0.25:
        outer = rng.choice(
            ("user", "data", "result", "customer", "arguments", "payload", "profile", "params")
        )
        return wrapped(
            f'{{"{outer}": ', made, f', "{rng.choice(("status", "ok", "count"))}": {rng.randrange(9)}}}'
        )
    return made


def _json(rng: Random, record: list[Field], style: str) -> list[Piece]:
    indent = rng.random() < 0.35
    colon, comma = rng.choice(((": ", ", "), (":", ","), (": ", ", ")))
    joint = ",\n  " if indent else comma
    inner = [[(f'"{styled(field.key, style)}"{colon}', ""), *quoted(field, '"')] for field in record]
    nested = rng.random() < 0.2 and len(inner) > 3
    if nested:
        name = rng.choice(("name", "address", "details", "passenger", "contact", "meta"))
        inner = [wrapped(f'"{name}"{colon}{{', between(inner[:2], comma), "}"), *inner[2:]]
    return wrapped("{\n  " if indent else "{", between(inner, joint), "\n}" if indent else "}")


def escaped_json(scene: Scene, personal: bool) -> list[Piece]:
    """JSON inside a JSON string, still escaped."""
    made = json_object(scene, personal)
    return [
        (text.replace("\\n", "\\\\n").replace('"', '\\"').replace("\n", "\\n"), label) for text, label in made
    ]


def python_repr(scene: Scene, personal: bool) -> list[Piece]:
    """A dict, a list of values, or an object as Python shows them."""
    rng = scene.rng
    record = one_record(scene, personal)
    quote = "'"
    chance = rng.random()
    if chance < 0.5:
        inner = [[(f"'{field.key}': ", ""), *quoted(field, quote)] for field in record]
        return wrapped("{", between(inner, ", "), "}")
    if chance < 0.7:
        return wrapped(rng.choice("[("), between((quoted(field, quote) for field in record), ", "), "]")
    return _call(
        rng,
        record,
        quote,
        rng.choice(("User", "Passenger", "Order", "Customer", "Row", "Namespace", "Contact", "Event")),
    )


def call(scene: Scene, personal: bool) -> list[Piece]:
    """A call with keyword arguments."""
    rng = scene.rng
    name = scene.fill("snake" if rng.random() < 0.7 else "camel")[0][0]
    return _call(rng, one_record(scene, personal), rng.choice('\'""'), name)


def _call(rng: Random, record: list[Field], quote: str, name: str) -> list[Piece]:
    inner = [[(f"{field.key}=", ""), *quoted(field, quote)] for field in record]
    return wrapped(f"{name}(", between(inner, rng.choice((", ", ", ", ","))), ")")


def key_values(scene: Scene, personal: bool) -> list[Piece]:
    """key=value pairs without quotes, or with them."""
    rng = scene.rng
    quote = rng.choice(("", "", '"', "'"))
    joint = rng.choice((" ", ", ", "; ", " | ", "&", "\n"))
    sign = rng.choice(("=", "=", "=", ":", " = ", ": "))
    style = key_style(rng)
    inner = [
        [(f"{styled(field.key, style)}{sign}", ""), *quoted(field, quote)]
        for field in one_record(scene, personal)
    ]
    return between(inner, joint)


def csv(scene: Scene, personal: bool) -> list[Piece]:
    """Rows of values under a header or without one."""
    rng = scene.rng
    rows = several_records(scene, personal, 1, 6)
    joint = rng.choice((",", ",", ",", ", ", ";", "\t", "|"))
    quote = rng.choice(("", "", "", '"'))
    made = [between((quoted(field, quote) for field in row), joint) for row in rows]
    if rng.random() < 0.65:
        style = key_style(rng)
        made.insert(0, [(joint.join(styled(field.key, style) for field in rows[0]), "")])
    return between(made, "\n")


def sql(scene: Scene, personal: bool) -> list[Piece]:
    """INSERT, UPDATE or SELECT statements."""
    rng = scene.rng
    rows = several_records(scene, personal, 1, 3)
    table = rng.choice((*_TABLES, *(english.noun(rng) for _ in _TABLES)))
    columns = ", ".join(field.key for field in rows[0])
    form = rng.choice(("insert", "insert", "values", "update", "where"))
    upper = rng.random() < 0.8
    if form in ("insert", "values"):
        head = (
            f"INSERT INTO {table} ({columns}) VALUES "  # noqa: S608
            if form == "insert"
            else f"INSERT INTO {table} VALUES "  # noqa: S608
        )
        tuples = [
            wrapped("(", between((quoted(field, "'") for field in row), rng.choice((", ", ","))), ")")
            for row in rows
        ]
        return wrapped(
            head if upper else head.lower(), between(tuples, rng.choice((", ", ",\n       "))), ";"
        )
    pairs = [[(f"{field.key} = ", ""), *quoted(field, "'")] for field in rows[0]]
    if form == "update":
        made = wrapped(f"UPDATE {table} SET ", between(pairs[:-1] or pairs, ", "), " WHERE ")  # noqa: S608
        return [*made, *pairs[-1], (";", "")]
    return wrapped(
        f"SELECT * FROM {table} WHERE ",  # noqa: S608
        between(pairs[:3], rng.choice((" AND ", " OR "))),
        rng.choice((";", " LIMIT 10;", "")),
    )


def log_line(scene: Scene, personal: bool) -> list[Piece]:
    """Lines of a log, in several formats, now and then in capitals."""
    made = between((_log(scene, personal) for _ in range(scene.rng.choice((1, 1, 2, 3)))), "\n")
    if scene.rng.random() < 0.12:
        return [(text.upper(), label) for text, label in made]
    return made


def _log(scene: Scene, personal: bool) -> list[Piece]:
    rng = scene.rng

    def one(kind: str) -> str:
        return scene.fill(kind)[0][0]

    level = rng.choice(("INFO", "INFO", "WARN", "ERROR", "DEBUG", "[info]", "level=info", "<6>", "TRACE"))
    head = rng.choice(
        (
            f"{one('timestamp')} {level} [{one('slug')}] ",
            f"{one('timestamp')} {level} {one('class')} - ",
            f"[{one('timestamp')}] {level}: ",
            f"{level}:{one('slug')}:",
            f"{one('ip')} - - [{one('timestamp')}] ",
            f"{one('month')[:3]} {rng.randrange(1, 29)} {one('time')} {one('slug')}[{one('int')}]: ",
            f"{one('timestamp')} | {level} | {one('snake')} | ",
        )
    )
    words = scene.fill("phrase" if rng.random() < 0.6 else "sentence")[0][0]
    record = one_record(scene, personal)
    quote = rng.choice(("", "", "'", '"'))
    pairs = between(([(f"{field.key}=", ""), *quoted(field, quote)] for field in record), " ")
    return [(head, ""), (f"{words} ", ""), *pairs]


def values(scene: Scene, personal: bool) -> list[Piece]:
    """Bare values side by side, without keys."""
    rng = scene.rng
    record = one_record(scene, personal)
    return between(
        (field.value for field in record), rng.choice((", ", " / ", " - ", "\n", " | ", " · ", "; ", " "))
    )


_LAYOUTS: tuple[Callable[[Scene, bool], list[Piece]], ...] = (
    json_object,
    escaped_json,
    python_repr,
    call,
    key_values,
    csv,
    sql,
    log_line,
    markup,
    markdown,
    yaml,
    values,
)
_WEIGHTS = (22, 4, 8, 8, 9, 12, 10, 11, 5, 9, 4, 4)
