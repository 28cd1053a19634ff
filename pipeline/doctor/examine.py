"""Every check of every area, beside one another, each within a time limit."""

import queue
import threading
import time
from collections.abc import Iterator, Mapping

from pipeline.doctor.model import Area, CheckResult, fails
from pipeline.errors import AuditfuseError

LIMIT_S = 20.0
"""An area that takes longer is a result itself. Its thread is left behind: the command ends soon."""

_Answer = tuple[str, CheckResult | None]
"""An area's name and a result of it; None where the area is done."""


def examine(areas: Mapping[str, Area], limit_s: float = LIMIT_S) -> Iterator[CheckResult]:
    """The results of all areas, area after area in their order."""
    answers: queue.Queue[_Answer] = queue.Queue()
    for name, area in areas.items():
        threading.Thread(target=_look, args=(name, area, answers), name=f"doctor-{name}", daemon=True).start()
    found: dict[str, list[CheckResult]] = {name: [] for name in areas}
    missing = set(areas)
    deadline_s = time.monotonic() + limit_s
    while missing:
        try:
            name, result = answers.get(timeout=max(deadline_s - time.monotonic(), 0.0))
        except queue.Empty:
            break
        if result is None:
            missing.discard(name)
        else:
            found[name].append(result)
    for name in missing:
        found[name].append(fails(name, f"no answer within {limit_s:.0f} s", "see whether it hangs"))
    for name in areas:
        yield from found[name]


def _look(name: str, area: Area, answers: "queue.Queue[_Answer]") -> None:
    try:
        for result in area():
            answers.put((name, result))
    except AuditfuseError as error:
        text, _, remedy = str(error).partition("; ")
        answers.put((name, fails(name, text, remedy or "see the message")))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        answers.put((name, fails(name, f"{place}{error.strerror}", "check that it is there and may be used")))
    except Exception as error:  # noqa: BLE001 (its text may hold content)
        answers.put((name, fails(name, f"{type(error).__name__} inside the check", "please report it")))
    finally:
        answers.put((name, None))
