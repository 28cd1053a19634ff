"""Operators: what is written in the place of a value that was found."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.redact.pseudonym import Pseudonyms

_BRACKETS = {"<": ">", "[": "]", "{": "}", "(": ")"}


class Operator(BaseModel):
    """What happens to a value: `"mask"` is short for `{ operator = "mask" }`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: Literal["pseudonym", "replace", "mask", "hash", "drop", "keep"] = "pseudonym"
    """pseudonym: `<TYPE:k1.16 hex digits>`. hash: the same with all 64 digits of the HMAC. replace: a fixed
    text. mask: a character in place of each. drop: nothing. keep: the value stays, and is not counted."""
    text: str | None = Field(default=None, max_length=64)
    """For replace: a text in brackets, or of signs only; by default `<TYPE>`."""
    keep_first: int = Field(default=0, ge=0, le=64)
    """For mask: characters that stay at the beginning. Of a value that is not more than twice as long as what
    would stay, nothing does."""
    keep_last: int = Field(default=0, ge=0, le=64)
    """For mask: characters that stay at the end."""
    character: Literal["*", "#", "•", "█", "×"] = "*"
    """For mask: what stands for a character."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.text is not None and self.operator != "replace":
            raise ValueError(f"text is for replace; {self.operator} has none")
        if self.operator != "mask" and self.model_fields_set & {"keep_first", "keep_last", "character"}:
            raise ValueError(f"keep_first, keep_last and character are for mask, not for {self.operator}")
        if self.text is not None and not _is_mark(self.text):
            raise ValueError("text must stand in brackets, such as [removed], to be told from a value")
        return self

    @property
    def shows_some(self) -> bool:
        """Whether characters of the value stay."""
        return self.operator == "keep" or self.keep_first + self.keep_last > 0

    def apply(self, entity: str, value: str, pseudonyms: Pseudonyms) -> str:
        """What stands for `value`, which was found to be an `entity`. Doing it twice changes nothing."""
        if self.operator == "pseudonym":
            return pseudonyms.token(entity, value)
        if self.operator == "hash":
            return pseudonyms.long_token(entity, value)
        if self.operator == "replace":
            return self.mark(entity)
        if self.operator == "mask":
            return self._masked(value)
        return value if self.operator == "keep" else ""

    def mark(self, entity: str) -> str:
        """The fixed text that replace writes."""
        return self.text if self.text is not None else f"<{entity}>"

    def _masked(self, value: str) -> str:
        first, last = self.keep_first, self.keep_last
        if len(value) <= 2 * (first + last):
            first = last = 0
        return value[:first] + self.character * (len(value) - first - last) + value[len(value) - last :]


def _is_mark(text: str) -> bool:
    """Whether a text can be told from a value: it stands in brackets, or has neither letter nor digit."""
    enclosed = len(text) > 2 and _BRACKETS.get(text[0]) == text[-1]
    plain = text.isprintable() and text == text.strip() and not set(text) & set('"\\&%@')
    return bool(text) and plain and (enclosed or not any(c.isalnum() for c in text))


def from_name(value: object) -> object:
    """An operator's name as its table; anything else as it is."""
    return {"operator": value} if isinstance(value, str) else value


OperatorOrName = Annotated[Operator, BeforeValidator(from_name)]
"""An operator, or its name alone."""

PSEUDONYM = Operator()
KEEP = Operator(operator="keep")
