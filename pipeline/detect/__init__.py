"""Detection: a fold over sealed signals that yields findings. `Detection` is loaded at first use only,
so that reading the configuration does not import polars."""

from typing import TYPE_CHECKING, Any

from pipeline.detect.config import DetectConfig

if TYPE_CHECKING:
    from pipeline.detect.fold import Detection
    from pipeline.detect.model import Found, SignalBatch, Trip

__all__ = ["DetectConfig", "Detection", "Found", "SignalBatch", "Trip"]


def __getattr__(name: str) -> Any:
    if name == "Detection":
        from pipeline.detect.fold import Detection

        return Detection
    if name in ("Found", "SignalBatch", "Trip"):
        from pipeline.detect import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
