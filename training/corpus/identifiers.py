"""Names of machines, files and parts of programs: words that are joined, never personal names."""

from collections.abc import Callable
from random import Random

from training.corpus import english
from training.corpus.codes import digits, uuid
from training.corpus.dates import date
from training.corpus.lists import words

_SUFFIXES = [
    "py",
    "js",
    "ts",
    "pdf",
    "csv",
    "json",
    "yaml",
    "md",
    "txt",
    "png",
    "docx",
    "xlsx",
    "go",
    "rs",
    "java",
    "sql",
    "html",
    "toml",
]


def domain(rng: Random) -> str:
    """A host name."""
    word = rng.choice(words("noun"))
    return rng.choice(
        (
            f"{word}.com",
            f"{word}-{rng.choice(words('noun'))}.io",
            "example.com",
            "example.org",
            "gmail.com",
            f"mail.{word}.net",
            f"{word}.co.uk",
            f"{word}.internal",
            f"api.{word}.dev",
            "outlook.com",
            "yahoo.com",
        )
    )


def url(rng: Random) -> str:
    """A web address."""
    noun, other = rng.choice(words("noun")), rng.choice(words("noun"))
    return rng.choice(
        (
            f"https://{domain(rng)}/{noun}/{other}",
            f"https://{domain(rng)}/{noun}?id={digits(rng, 5)}&page=2",
            f"http://{domain(rng)}",
            f"www.{domain(rng)}",
            f"https://api.{domain(rng)}/v1/{noun}s/{uuid(rng)}",
            f"s3://{noun}-{other}/{date(rng).replace(' ', '')}/",
        )
    )


def path(rng: Random) -> str:
    """A path of a file."""
    folder, name = rng.choice(words("noun")), snake(rng)
    return rng.choice(
        (
            f"/var/log/{folder}/{name}.log",
            f"/usr/lib/python3.11/site-packages/{folder}/{name}.py",
            f"src/{folder}/{name}.ts",
            f"./{name}.yaml",
            f"C:\\Program Files\\{folder.title()}\\{name}.exe",
            f"{folder}/tests/test_{name}.py",
            f"/etc/{folder}.conf",
            f"~/.config/{folder}/{name}.toml",
        )
    )


def file(rng: Random) -> str:
    """A file name."""
    stem = rng.choice((snake(rng), camel(rng), rng.choice(words("noun")).title(), rng.choice(words("noun"))))
    return f"{stem}.{rng.choice(_SUFFIXES)}"


def snake(rng: Random) -> str:
    """An identifier with underscores."""
    chance = rng.random()
    if chance < 0.3:
        return rng.choice(words("verb_noun")).replace(" ", "_")
    if chance < 0.6:
        return f"{rng.choice(words('verb'))}_{rng.choice(words('noun'))}"
    made = (
        f"{english.verb(rng)}_{english.noun(rng)}",
        f"{english.noun(rng)}_{english.noun(rng)}",
        english.noun(rng),
    )
    return rng.choice(made)


def camel(rng: Random) -> str:
    """An identifier in camel case."""
    made = snake(rng).title().replace("_", "")
    return made if rng.random() < 0.5 else made[0].lower() + made[1:]


def klass(rng: Random) -> str:
    """A class name."""
    ends = (
        "Manager",
        "Service",
        "Error",
        "Handler",
        "Factory",
        "Client",
        "Controller",
        "Repository",
        "Test",
        "Config",
        "View",
        "Exception",
        "Adapter",
    )
    return rng.choice((rng.choice(words("noun")), english.noun(rng))).title() + rng.choice(ends)


def constant(rng: Random) -> str:
    """An identifier in capitals."""
    return snake(rng).upper()


def slug(rng: Random) -> str:
    """Words joined by hyphens or underscores."""
    joint = rng.choice("-_.")
    return joint.join(
        rng.choice((rng.choice(words("noun")), english.any_word(rng))) for _ in range(rng.randrange(2, 4))
    )


MAKERS: dict[str, Callable[[Random], str]] = {
    "domain": domain,
    "url": url,
    "path": path,
    "file": file,
    "snake": snake,
    "camel": camel,
    "class": klass,
    "constant": constant,
    "slug": slug,
}
