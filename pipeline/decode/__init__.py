"""From a message's bytes to events: a pure function, so that replay decodes what ingest decoded."""

from pipeline.decode.base import DeadLetter, Decoded
from pipeline.decode.message import decode_message

__all__ = ["DeadLetter", "Decoded", "decode_message"]
