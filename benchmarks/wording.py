"""Another wording of a text, of the same shape and length: what a trace file would have said on another day.

Words change places with words that are about as frequent and written the same way, digits with digits. What
tells the finders where they are stays: short and very common words, domains, the place of every sign.
"""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta

KEPT_WORDS = 200
"""So many of the most common words stay: articles, pronouns, "please"."""
BLOCKS = (29, 31, 37, 41, 43)
"""Words are exchanged within blocks of neighbours by frequency, of these lengths in turn: their common period
is longer than any run."""
DAYS_APART = 401
_TOKEN = re.compile(
    r"(?P<day>\b(?:19|20)\d\d-[01]\d-[0-3]\d\b)|(?P<kept>@[\w.-]+|https?://[\w.-]+|\b\d\d?:\d\d(?::\d\d)?\b)"
    r"|(?P<word>[^\W\d_]+)|(?P<digits>\d+)"
)
_BEHIND = re.compile(r"[\w,] \Z")
_TURNED = [str.maketrans("123456789", "123456789"[n:] + "123456789"[:n]) for n in range(9)]
_MARKS = "bcdfghjklmnpqrstvwxz"
"""Consonants: what is made of them is no word of a language."""


class Wording:
    """Learns the words of some texts; then gives each text in any number of variations."""

    def __init__(self, texts: Iterable[str]) -> None:
        words, spoken, within = _counted(texts)
        kept = {word for word, _ in spoken.most_common(KEPT_WORDS)}
        self._block_of: dict[str, tuple[list[str], int]] = {}
        # Names stand in ids and addresses in small letters, but not in sentences.
        names = {
            word
            for word, times in words.items()
            if word.istitle() and len(word) > 2 and 2 * within[word] >= times and word.lower() not in spoken
        }
        openers = {w for w in words if w.istitle() and w not in names and w.lower() not in words}
        small = [w for w, _ in words.most_common() if w.islower() and len(w) > 2 and w.title() not in names]
        for ranked in (
            [word for word in small if word not in kept],
            [word for word, _ in words.most_common() if word in names],
            [word for word, _ in words.most_common() if word in openers],
            *(
                [w for w, _ in words.most_common() if w.isupper() and len(w) == length]
                for length in range(3, 9)
            ),
        ):
            self._add_blocks(ranked)

    def _add_blocks(self, ranked: list[str]) -> None:
        start = turn = 0
        while start < len(ranked):
            block = ranked[start : start + BLOCKS[turn % len(BLOCKS)]]
            for place, word in enumerate(block):
                self._block_of[word] = (block, place)
            start, turn = start + len(block), turn + 1

    def vary(self, text: str, number: int) -> str:
        """The text in variation `number`; 0 is the text itself. Others may still say the same."""
        if number == 0:
            return text
        return _TOKEN.sub(lambda match: self._token(match, number), text)

    def _token(self, match: re.Match[str], number: int) -> str:
        text = match[0]
        if match["word"] is not None:
            return self._word(text, number)
        if match["digits"] is not None:
            return digits(text, number)
        return _day(text, number) if match["day"] is not None else text

    def _word(self, word: str, number: int) -> str:
        found = self._block_of.get(word)
        if found is not None:
            block, place = found
            return block[(place + number) % len(block)]
        other, written = (word.lower(), str.title) if word.istitle() else (word.title(), str.lower)
        found = self._block_of.get(other) if word.istitle() or word.islower() else None
        if found is None:
            return word
        block, place = found
        return written(block[(place + number) % len(block)])


def _counted(texts: Iterable[str]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """How often each word stands anywhere; each in small letters as a word of its own; and each as all of a
    text, or behind another word of its sentence."""
    words: Counter[str] = Counter()
    spoken: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for text in texts:
        for match in _TOKEN.finditer(text):
            word = match["word"]
            if word is not None:
                words[word] += 1
                beside = text[match.start() - 1 : match.start()] + text[match.end() : match.end() + 1]
                if word.islower() and not any(sign in "_@0123456789" for sign in beside):
                    spoken[word] += 1
                within[word] += (
                    text == word
                    or _BEHIND.search(text[max(0, match.start() - 2) : match.start()]) is not None
                )
    return words, spoken, within


def digits(text: str, number: int) -> str:
    """Digits turned by `number` steps, a zero staying one."""
    return text.translate(_TURNED[number % 9])


def _day(text: str, number: int) -> str:
    try:
        return (date.fromisoformat(text) + timedelta(days=DAYS_APART * (number % 97))).isoformat()
    except ValueError:
        return text


def marked(text: str, number: int) -> str:
    """The text with a sign of its own at the end, where nothing else tells it from another one."""
    letters = ""
    while number or not letters:
        number, place = divmod(number, len(_MARKS))
        letters += _MARKS[place]
    return f"{text} {letters}" if " " in text else f"{text}-{letters}"
