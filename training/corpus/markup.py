"""Records as markup: XML, HTML, Markdown, YAML."""

from training.corpus.layout import between, one_record, quoted, several_records, wrapped
from training.corpus.records import styled
from training.corpus.scene import Scene
from training.corpus.template import Piece


def markup(scene: Scene, personal: bool) -> list[Piece]:
    """XML elements or an HTML table or list."""
    rng = scene.rng
    style = rng.choice(("snake", "camel", "pascal", "kebab"))
    form = rng.choice(("xml", "xml", "table", "list", "attributes"))
    if form == "table":
        rows = several_records(scene, personal, 1, 3)
        made = [
            wrapped("<tr>", between((wrapped("<td>", field.value, "</td>") for field in row), ""), "</tr>")
            for row in rows
        ]
        return wrapped("<table>", between(made, "\n"), "</table>")
    record = one_record(scene, personal)
    if form == "list":
        return wrapped(
            "<ul>",
            between(
                (
                    wrapped(f"<li><b>{styled(field.key, 'title')}:</b> ", field.value, "</li>")
                    for field in record
                ),
                "",
            ),
            "</ul>",
        )
    if form == "attributes":
        inner = [[(f"{styled(field.key, style)}=", ""), *wrapped('"', field.value, '"')] for field in record]
        return wrapped(f"<{rng.choice(('user', 'item', 'person', 'row'))} ", between(inner, " "), "/>")
    inner = [
        wrapped(f"<{styled(field.key, style)}>", field.value, f"</{styled(field.key, style)}>")
        for field in record
    ]
    return wrapped("<record>", between(inner, rng.choice(("", "\n  "))), "</record>")


def markdown(scene: Scene, personal: bool) -> list[Piece]:
    """A table, a bulleted list of fields, or one line a field."""
    rng = scene.rng
    form = rng.choice(("table", "bullets", "lines", "bold"))
    if form == "table":
        rows = several_records(scene, personal, 1, 4)
        head = "| " + " | ".join(styled(field.key, "title") for field in rows[0]) + " |"
        made: list[list[Piece]] = [[(head, "")], [("|" + " --- |" * len(rows[0]), "")]]
        made += [wrapped("| ", between((field.value for field in row), " | "), " |") for row in rows]
        return between(made, "\n")
    record = one_record(scene, personal)
    style = rng.choice(("title", "spaced", "snake", "title"))
    before, after = {"bullets": ("- ", ": "), "lines": ("", ": "), "bold": ("**", ":** ")}[form]
    if form == "bullets" and rng.random() < 0.4:
        before = rng.choice(("* ", "• ", "1. ", "  - "))
    return between(
        ([(f"{before}{styled(field.key, style)}{after}", ""), *field.value] for field in record), "\n"
    )


def yaml(scene: Scene, personal: bool) -> list[Piece]:
    """YAML: keys and values, now and then under one more key or in a list."""
    rng = scene.rng
    quote = rng.choice(("", "", '"', "'"))
    pad = "  " if rng.random() < 0.4 else ""
    made = between(
        ([(f"{pad}{field.key}: ", ""), *quoted(field, quote)] for field in one_record(scene, personal)), "\n"
    )
    return [(rng.choice(("user:\n", "customer:\n", "spec:\n", "metadata:\n")), ""), *made] if pad else made
