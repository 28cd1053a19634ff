"""Personal data and secrets that look real and belong to nobody, made from a seeded random source."""

import random

GIVEN_NAMES = ("Amara", "Bruno", "Chiara", "Daniel", "Elif", "Farid", "Grace", "Henrik", "Ines", "Joanna")
FAMILY_NAMES = ("Okafor", "Lindqvist", "Moretti", "Hughes", "Demir", "Rahimi", "Campbell", "Novak", "Costa")
STREETS = ("Maple Avenue", "Station Road", "Harbour Street", "Mill Lane", "Garden Close")
CITIES = ("Bristol", "Lyon", "Gothenburg", "Porto", "Leipzig")
COMPANIES = ("northwind", "contoso", "fabrikam", "tailspin", "wingtip")
_BASE62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def person_name(source: random.Random) -> str:
    """A given and a family name."""
    return f"{source.choice(GIVEN_NAMES)} {source.choice(FAMILY_NAMES)}"


def email(source: random.Random, name: str) -> str:
    """An address of that person at an invented supplier."""
    return f"{name.lower().replace(' ', '.')}@{source.choice(COMPANIES)}.com"


def phone(source: random.Random) -> str:
    """A UK mobile number from the range kept for drama."""
    return f"+44 7700 900{source.randrange(1000):03d}"


def iban(source: random.Random) -> str:
    """A German IBAN with valid check digits (ISO 13616, mod 97)."""
    account = f"{source.randrange(10**18):018d}"
    check = 98 - int(account + "131400") % 97
    return f"DE{check:02d}{account}"


def card_number(source: random.Random) -> str:
    """A 16-digit number with a valid Luhn digit, from a test range."""
    body = "411111" + f"{source.randrange(10**9):09d}"
    total = 0
    for index, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if index % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)


def address(source: random.Random) -> str:
    """A street address."""
    return f"{source.randrange(1, 200)} {source.choice(STREETS)}, {source.choice(CITIES)}"


def api_key(source: random.Random) -> str:
    """A secret in the shape of a payment provider's live key."""
    return "sk_" + "live_" + "".join(source.choices(_BASE62, k=24))
