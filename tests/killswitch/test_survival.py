"""A trip works when everything else is broken: a real server process, a real store, real SIGKILL.

The store is broken by putting a regular file where its directory was: each open, link and listing in it
then fails with ENOTDIR, for root as for everyone (permission bits and read-only flags do not stop root).
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec
import pytest
from support.killswitch import until

from pipeline.audit.control import read_rows
from pipeline.audit.store import Store
from pipeline.killswitch.auth import local_token
from pipeline.killswitch.journal import Journal
from schemas.command import Command

CHILD = Path(__file__).parents[1] / "support" / "killswitch_child.py"
FLAG = "/ofrep/v1/evaluate/flags/agent.enabled"
CONTEXT = {"context": {"targetingKey": "invoice-agent"}}
TRIP = {"selector": {"agent": "invoice-agent"}, "mode": "off", "reason": "pays twice", "by": "alice"}


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def store(tmp_path):
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@contextlib.contextmanager
def server(journal: Path, store: Path):
    """A server process; leaves it killed by SIGKILL."""
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, str(CHILD), str(journal), str(store)]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    try:
        lines = iter(child.stdout.readline, "")
        port = next(line for line in lines if line.strip().isdecimal())
        with httpx.Client(base_url=f"http://127.0.0.1:{port.strip()}", trust_env=False) as client:
            yield client
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()


@contextlib.contextmanager
def broken(store: Path):
    aside = store.with_name("store-aside")
    store.rename(aside)
    store.write_text("not a directory")
    yield
    store.unlink()
    aside.rename(store)


def order(client, journal):
    headers = {"authorization": f"Bearer {local_token(journal)}"}
    began = time.monotonic()
    answer = client.post("/v1/killswitch/trips", json=TRIP, headers=headers)
    assert time.monotonic() - began < 1.0
    return answer


def enabled(client) -> bool:
    return client.post(FLAG, json=CONTEXT).json()["value"]


def sealed(store: Path) -> list[Command]:
    rows = [msgspec.json.decode(row.meta) for row in read_rows(Store(store), "_control")]
    return [msgspec.convert(row, Command) for row in rows]


def test_a_trip_is_served_with_the_store_gone_survives_sigkill_and_is_sealed_once(journal, store):
    with broken(store):
        with server(journal, store) as client:
            assert enabled(client)
            answer = order(client, journal)
            assert (answer.status_code, answer.json()["standing"]) == (201, "journaled")
            assert not enabled(client)
            until(lambda: not client.get("/v1/killswitch").json()["control"]["working"])
        with server(journal, store) as client:
            assert not enabled(client)  # with its first answer
    with server(journal, store) as client:
        until(lambda: client.get("/v1/killswitch").json()["trips"][0]["standing"] == "sealed", 20)
        assert not enabled(client)
    with server(journal, store) as client:
        assert not enabled(client)
        until(lambda: client.get("/v1/killswitch").json()["caught_up"])
    made = answer.json()["command"]["id"]
    assert [command.id for command in sealed(store)] == [made]


def test_with_journal_and_store_gone_a_trip_is_served_as_volatile(journal, store):
    with broken(store), server(journal, store) as client:
        token = local_token(journal)
        aside = journal.with_name("journal-aside")
        journal.rename(aside)
        journal.write_text("not a directory")
        headers = {"authorization": f"Bearer {token}"}
        answer = client.post("/v1/killswitch/trips", json=TRIP, headers=headers)
        assert (answer.status_code, answer.json()["standing"]) == (202, "volatile")
        assert not enabled(client)
        status = client.get("/v1/killswitch").json()
        assert status["trips"][0]["standing"] == "volatile"
        assert status["journal"]["fault"] == "NotADirectoryError: Not a directory"


@pytest.fixture
def small_disk(tmp_path):
    """Mounts disks of a megabyte; `fill` leaves no byte and no file on one."""
    mounted = []

    def mount(place: Path) -> Path:
        place.mkdir(exist_ok=True)
        options = ["-t", "tmpfs", "-o", "size=1m,nr_inodes=64", "tmpfs"]
        done = subprocess.run(["mount", *options, place], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"no disk of its own can be mounted here, which takes root: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path) -> Path:
    """The file that takes all the room there is."""
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


@pytest.mark.parametrize(
    ("full", "standing"), [(["store"], "journaled"), (["store", "journal"], "volatile")], ids=["store", "all"]
)
def test_on_a_full_disk_a_trip_is_served_at_once_and_sealed_when_there_is_room(
    tmp_path, small_disk, full, standing
):
    store, journal = small_disk(tmp_path / "store"), small_disk(tmp_path / "journal")
    with server(journal, store) as client:
        until(lambda: client.get("/v1/killswitch").json()["caught_up"])
        ballast = [fill(tmp_path / name) for name in full]
        answer = order(client, journal)
        assert answer.json()["standing"] == standing
        assert not enabled(client)
        until(lambda: not client.get("/v1/killswitch").json()["control"]["working"])
        assert client.get("/v1/killswitch").json()["trips"][0]["standing"] == standing
        for file in ballast:
            file.unlink()
        until(lambda: client.get("/v1/killswitch").json()["trips"][0]["standing"] == "sealed", 30)
    assert [command.id for command in sealed(store)] == [answer.json()["command"]["id"]]


def test_killed_at_any_moment_of_a_trip_it_is_sealed_at_most_once_and_never_lost_after_the_answer(
    journal, store
):
    answered = []
    for round_ in range(4):
        with server(journal, store) as client:
            answered.append(order(client, journal).json()["command"]["id"])
            time.sleep(0.01 * round_)  # a different moment of sealing each time, not a wait for anything
    with server(journal, store) as client:
        until(
            lambda: all(t["standing"] == "sealed" for t in client.get("/v1/killswitch").json()["trips"]), 20
        )
        assert {trip["id"] for trip in client.get("/v1/killswitch").json()["trips"]} == set(answered)
    ids = [command.id for command in sealed(store)]
    assert sorted(ids) == sorted(answered)


def test_without_any_server_a_trip_waits_in_the_journal(journal, store):
    Journal(journal).add(
        Command(
            id="trip_00c0ffee", command="trip", at_ms=1, by="alice", automatic=False, reason="r", mode="off"
        )
    )
    with server(journal, store) as client:
        assert not enabled(client)
