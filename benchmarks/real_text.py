"""The figures of real text labelled by hand: what was found by type, what was redacted for nothing."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.labelled import Judged
from benchmarks.report import Figure, Report, goal
from benchmarks.scoring import Mask, Removed, half_gone, mask

PERSONAL = ("PERSON", "NAME_IN_ID", "PLACE", "ADDRESS", "NRP", "EMAIL", "PHONE", "DOB")
ORGANIZATION = "ORG"
LEAST_WORDS = 6
_WORD = re.compile(r"(?<!\S)[^\W\d_]{2,}[,.;:!?]?(?!\S)")


class FalseRedaction(NamedTuple):
    """A redaction of what is no personal value."""

    judged: Judged
    range: Removed
    of: str
    """What it was: an organization, or other text."""

    @property
    def text(self) -> str:
        """What was redacted."""
        return self.judged.text[self.range.start : self.range.end]


class RealScore(NamedTuple):
    """Figures of some labelled strings. Shares are None where nothing was there to count."""

    strings: int
    mentions: dict[str, int]
    recall: dict[str, float | None]
    """By type: the share of mentions of which at least half was redacted, as whatever type."""
    person_precision: float | None
    person_precision_random: float | None
    """Of the strings drawn at random alone: those drawn for their persons have more of what is right."""
    place_precision: float | None
    false_leaf_share: float | None
    """Of the strings drawn at random, those with a false redaction."""
    false_prose_share: float | None
    """Of the letters and digits of prose drawn at random, those redacted that are no personal value's."""
    false_leaf_share_without_organizations: float | None
    """The same, where redacting an organization's name counts as no fault."""
    false: list[FalseRedaction]


def real_score(judged: Sequence[Judged], stock: bool = False) -> RealScore:
    """Score our redactions, or stock's, of labelled strings."""
    of = [(one, one.stock if stock else one.ours) for one in judged]
    mentions, hit = Counter[str](), Counter[str]()
    for one, ranges in of:
        gone = mask(len(one.text), ranges)
        for start, end, kind in one.label.spans:
            mentions[kind] += 1
            hit[kind] += half_gone(gone, start, end)
    false = [fault for one, ranges in of for fault in _false(one, ranges)]
    drawn = [(one, ranges) for one, ranges in of if one.label.sample == "random"]
    faulty = {f.judged.label.sha256: f for f in false if f.judged.label.sample == "random"}
    without = {
        f.judged.label.sha256 for f in false if f.of != ORGANIZATION and f.judged.label.sample == "random"
    }
    return RealScore(
        strings=len(of),
        mentions={kind: mentions[kind] for kind in PERSONAL if kind in mentions},
        recall={kind: hit[kind] / mentions[kind] if mentions[kind] else None for kind in PERSONAL},
        person_precision=_precision(of, {"PERSON"}, {"PERSON"}, {"NAME_IN_ID", "EMAIL"}),
        person_precision_random=_precision(drawn, {"PERSON"}, {"PERSON"}, {"NAME_IN_ID", "EMAIL"}),
        place_precision=_precision(of, {"LOCATION", "STREET_ADDRESS"}, {"PLACE", "ADDRESS"}, set()),
        false_leaf_share=_share(len(faulty), len(drawn)),
        false_prose_share=_false_prose(drawn),
        false_leaf_share_without_organizations=_share(len(without), len(drawn)),
        false=false,
    )


def is_prose(text: str) -> bool:
    """Whether a string reads as sentences: at least six plain words, and more words than anything else."""
    words = len(_WORD.findall(text))
    return words >= LEAST_WORDS and words * 2 > len(text.split())


def _false(one: Judged, ranges: Iterable[Removed]) -> Iterable[FalseRedaction]:
    right = _labelled(one, {*PERSONAL, "NEUTRAL"})
    organization = _labelled(one, {ORGANIZATION})
    for found in ranges:
        if not half_gone(right, found.start, found.end):
            named = half_gone(organization, found.start, found.end)
            yield FalseRedaction(one, found, ORGANIZATION if named else "other")


def _labelled(one: Judged, kinds: set[str]) -> Mask:
    return mask(len(one.text), [span for span in one.label.spans if span[2] in kinds])


def _precision(
    of: Sequence[tuple[Judged, list[Removed]]], entities: set[str], right: set[str], neutral: set[str]
) -> float | None:
    """Of the redactions as one of these types, those that are at least half in a label of the right types."""
    good = bad = 0
    for one, ranges in of:
        labelled, passed = _labelled(one, right), _labelled(one, neutral | {"NEUTRAL"})
        for found in ranges:
            if found.entity not in entities:
                continue
            if half_gone(labelled, found.start, found.end):
                good += 1
            elif not half_gone(passed, found.start, found.end):
                bad += 1
    return _share(good, good + bad)


def _false_prose(of: Sequence[tuple[Judged, list[Removed]]]) -> float | None:
    false = total = 0
    for one, ranges in of:
        if is_prose(one.text):
            right, gone = _labelled(one, {*PERSONAL, "NEUTRAL"}), mask(len(one.text), ranges)
            counted = [i for i, character in enumerate(one.text) if character.isalnum()]
            total += len(counted)
            false += sum(gone[i] and not right[i] for i in counted)
    return _share(false, total)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def report_real_text(
    report: Report, judged: Mapping[str, Sequence[Judged]], labelled: Mapping[str, int]
) -> list[list[str]]:
    """The tables and figures of the labelled real text; the rows of the targets."""
    sets = dict(judged) | {"together": [one for found in judged.values() for one in found]}
    scores = {
        f"{name}, {who}": real_score(found, stock=who == "stock")
        for name, found in sets.items()
        for who in ("auditfuse", "stock")
    }
    _real_table(report, scores)
    ours, theirs = scores["together, auditfuse"], scores["together, stock"]
    _false_table(report, ours, theirs)
    counted = ", ".join(f"{len(judged[name]):,} of {labelled[name]:,} of {name}" for name in judged)
    report.note(
        f"Strings labelled by hand and found here: {counted} (docs/redaction-quality.md has the rules). "
        "Recall is by mention, half of its characters, whatever the type. False shares are of the strings "
        "drawn at random; an organization's name that is redacted counts as false."
    )
    for name, found in scores.items():
        report.figures |= _real_figures(name.replace("together, ", "").replace(", ", "_"), found)
    report.figures |= {
        "labelled_found": len(sets["together"]),
        "real_person_recall": ours.recall["PERSON"],
        "real_person_precision": ours.person_precision,
        "real_person_precision_random": ours.person_precision_random,
        "real_place_recall": ours.recall["PLACE"],
        "false_leaf_share": ours.false_leaf_share,
        "false_prose_share": ours.false_prose_share,
    }
    return [
        goal("real text: recall of persons", ours.recall["PERSON"], 0.92),
        goal("real text: precision of persons", ours.person_precision, 0.8),
        goal("… of strings drawn at random", ours.person_precision_random, 0.8),
        goal("real text: strings with a false redaction", ours.false_leaf_share, 0.02, most=True),
        goal("real text: false characters of prose", ours.false_prose_share, 0.01, most=True),
    ]


def _real_table(report: Report, scores: Mapping[str, RealScore]) -> None:
    kinds = list(dict.fromkeys(kind for found in scores.values() for kind in found.mentions))
    rows = [
        [f"recall of {kind} (mentions)", *(_recall(found, kind) for found in scores.values())]
        for kind in kinds
    ]
    of: dict[str, Callable[[RealScore], float | None]] = {
        "precision of persons": lambda s: s.person_precision,
        "… of strings drawn at random": lambda s: s.person_precision_random,
        "precision of places and addresses": lambda s: s.place_precision,
        "strings with a false redaction": lambda s: s.false_leaf_share,
        "… organizations forgiven": lambda s: s.false_leaf_share_without_organizations,
        "false characters of prose": lambda s: s.false_prose_share,
    }
    rows += [[what, *(share(get(found)) for found in scores.values())] for what, get in of.items()]
    report.table(["real text", *scores], rows)


def _recall(found: RealScore, kind: str) -> str:
    return f"{share(found.recall[kind])} ({found.mentions[kind]})" if kind in found.mentions else ""


def share(value: float | None) -> str:
    """A share for a table."""
    return "" if value is None else f"{value:.3f}"


def _false_table(report: Report, ours: RealScore, theirs: RealScore) -> None:
    counts = [Counter((f.range.entity, f.of) for f in found.false) for found in (ours, theirs)]
    kinds = sorted(counts[0] | counts[1], key=lambda kind: (-counts[0][kind], kind))
    rows = [[f"{entity} of {of}", *(str(count[entity, of]) for count in counts)] for entity, of in kinds]
    report.table(["false redactions of real text", "auditfuse", "stock"], rows)


def _real_figures(name: str, found: RealScore) -> dict[str, Figure]:
    return {
        f"real_{name}": {
            "strings": found.strings,
            "person_recall": found.recall["PERSON"],
            "person_precision": found.person_precision,
            "person_precision_random": found.person_precision_random,
            "place_recall": found.recall["PLACE"],
            "place_precision": found.place_precision,
            "false_leaf_share": found.false_leaf_share,
            "false_prose_share": found.false_prose_share,
        }
    }
