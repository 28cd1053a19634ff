"""Words, phrases, sentences and lines of code: text in which nothing is a name."""

import json
from collections.abc import Callable
from random import Random

from training.corpus import english
from training.corpus.codes import integer, token
from training.corpus.faker_values import catch_phrase_words, currency_names, english_words, jobs
from training.corpus.identifiers import camel, constant, klass, path, snake
from training.corpus.lists import words

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def wide_noun(rng: Random) -> str:
    """A noun of our own list, an everyday word, or any English noun."""
    chance = rng.random()
    if chance < 0.45:
        return rng.choice(words("noun"))
    return rng.choice(english_words()) if chance < 0.6 else english.noun(rng)


def wide_adjective(rng: Random) -> str:
    """An adjective of our own list or any English one."""
    return rng.choice(words("adjective")) if rng.random() < 0.5 else english.adjective(rng)


def wide_verb(rng: Random) -> str:
    """A verb of our own list or any English one."""
    return rng.choice(words("verb")) if rng.random() < 0.6 else english.verb(rng)


def phrase(rng: Random) -> str:
    """A short phrase of ordinary lower-case words."""
    noun = f"{wide_adjective(rng)} {wide_noun(rng)}"
    return rng.choice(
        (
            noun,
            f"{rng.choice(words('verb'))} the {noun}",
            f"the {noun}",
            f"{noun} and {rng.choice(words('noun'))}",
            rng.choice(words("verb_noun")),
        )
    )


def sentence(rng: Random) -> str:
    """A plain sentence of ordinary words, capitalised, mostly without sense."""
    if rng.random() < 0.55:
        return english.natural(rng)
    subject, thing = wide_noun(rng), f"{wide_adjective(rng)} {wide_noun(rng)}"
    verb = rng.choice(words("verb"))
    return rng.choice(
        (
            f"The {subject} should {verb} the {thing}.",
            f"{verb.capitalize()} the {thing} before the {subject}.",
            f"{thing.capitalize()} is {rng.choice(words('adjective'))}.",
            f"Please {verb} your {thing} and {rng.choice(words('verb'))} the {subject}.",
            f"{subject.capitalize()} and {rng.choice(words('noun'))} were {rng.choice(words('adjective'))}.",
            f"Each {subject} has one {thing}.",
            f"No {subject} may {verb} a {thing} twice.",
        )
    )


def code_line(rng: Random) -> str:
    """One line of a program."""
    name, noun, other = snake(rng), rng.choice(words("noun")), rng.choice(words("noun"))
    return rng.choice(
        (
            f"def {name}({noun}: str, {other}: int = {integer(rng)}) -> None:",
            f"    return self._{noun}.{name}({other})",
            f"const {camel(rng)} = await {noun}.{camel(rng)}({{ {other} }});",
            f"import {{ {klass(rng)} }} from './{noun}';",
            f"from {noun}.{other} import {klass(rng)}",
            f"class {klass(rng)}({klass(rng)}):",
            f'raise {klass(rng)}(f"{rng.choice(words("error"))}: {{{noun}}}")',
            f"if ({noun}.length === 0 && !{other}) return null;",
            f'assert {name}("{phrase(rng)}") == {integer(rng)}',
            f"public {klass(rng)} get{noun.title()}(int {other}Id) {{",
            f"+    {noun}: {other},",
            f"-    {noun} = {name}()",
            f"@@ -{integer(rng)},7 +{integer(rng)},9 @@ {klass(rng)}",
            f"{constant(rng)}={rng.choice(words('status'))}",
            f"export {constant(rng)}={token(rng)}",
            f"# {sentence(rng)}",
            f"// {sentence(rng)}",
            f"SELECT {noun}_id, {other} FROM {noun}s WHERE {other} = '{rng.choice(words('status'))}';",  # noqa: S608
            f'  File "{path(rng)}", line {integer(rng)}, in {name}',
        )
    )


def schema(rng: Random) -> str:
    """A tool's schema, as agents are told of one."""
    name = snake(rng)
    fields = {
        rng.choice(words("noun")): {
            "type": rng.choice(("string", "integer", "boolean")),
            "description": sentence(rng),
        }
        for _ in range(rng.randrange(1, 4))
    }
    whole = {
        "type": "function",
        "function": {
            "name": name,
            "description": sentence(rng),
            "parameters": {"type": "object", "properties": fields, "required": list(fields)[:1]},
        },
    }
    return json.dumps(whole, indent=rng.choice((None, 2)))


def word(rng: Random) -> str:
    """A word in lower case."""
    return rng.choice(english_words()) if rng.random() < 0.4 else english.any_word(rng)


def capitalised(rng: Random) -> str:
    """A word with a capital letter."""
    return word(rng).capitalize()


def acronym(rng: Random) -> str:
    """Two to five capitals: acronyms, station and product codes."""
    return "".join(rng.choices(_UPPER, k=rng.choice((2, 3, 3, 3, 4, 5))))


def trade(rng: Random) -> str:
    """A job title out of a long list."""
    return rng.choice(jobs())


def catch_phrase(rng: Random) -> str:
    """What companies say of themselves, in one of three cases."""
    made = " ".join(rng.choice(part) for part in catch_phrase_words())
    return rng.choice((made, made.title(), made.lower()))


def words_in_a_row(rng: Random) -> str:
    """Three to twelve everyday words as a sentence without sense."""
    made = " ".join(word(rng) for _ in range(rng.randrange(3, 13)))
    return f"{made.capitalize()}{rng.choice('..!?')}"


MAKERS: dict[str, Callable[[Random], str]] = {
    "noun": wide_noun,
    "adjective": wide_adjective,
    "verb": wide_verb,
    "natural": english.natural,
    "plural": lambda rng: rng.choice(english.vocabulary().plurals),
    "past": lambda rng: rng.choice(english.vocabulary().pasts),
    "gerund": lambda rng: rng.choice(english.vocabulary().gerunds),
    "adverb": lambda rng: rng.choice(english.vocabulary().adverbs),
    "phrase": phrase,
    "sentence": sentence,
    "code_line": code_line,
    "schema": schema,
    "word": word,
    "capitalised": capitalised,
    "acronym": acronym,
    "trade": trade,
    "catch_phrase": catch_phrase,
    "words_in_a_row": words_in_a_row,
    "currency_name": lambda rng: rng.choice(currency_names()),
}
