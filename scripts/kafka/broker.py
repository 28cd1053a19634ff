"""A real Apache Kafka (KRaft, one node) on loopback: by Docker where an engine answers, else on the JVM.

    python scripts/kafka/broker.py [--port 9092] [--directory build/kafka]

Prints the bootstrap address when the broker is ready; Ctrl-C or SIGTERM stops it. The JVM way needs
Java 17 and Maven, and takes the jars that `pom.xml` names from the repositories Maven is configured with.
`tests/support/broker.py` starts the same broker for the tests. Standard library only.
"""

import argparse
import base64
import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
READY_TIMEOUT_S = 90.0
JVM_OPTIONS = ["-Xms192m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN"]

# One node: nothing to wait for, nothing to replicate. Messages with a full history reach 5 MB, and the
# broker stamps the times, since a sender's clock must not decide when something trips.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "num.partitions": "4",
    "auto.create.topics.enable": "true",
    "log.message.timestamp.type": "LogAppendTime",
    "message.max.bytes": str(16 * 1024 * 1024),
    "replica.fetch.max.bytes": str(16 * 1024 * 1024),
    "socket.request.max.bytes": str(64 * 1024 * 1024),
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
    "num.network.threads": "2",
    "num.io.threads": "2",
}


class BrokerError(Exception):
    """The broker cannot be started; the message says why and what to install."""


class Broker:
    """A running broker. `bootstrap` is its address; `stop` ends it; `kind` is how it runs."""

    def __init__(
        self, bootstrap: str, kind: str, stop: Callable[[], None], alive: Callable[[], bool]
    ) -> None:
        self.bootstrap = bootstrap
        self.kind = kind
        self.stop = stop
        self.alive = alive


def docker_engine_answers() -> bool:
    """Whether a Docker engine (not only the client) is there, with its compose plugin."""
    if shutil.which("docker") is None:
        return False
    for command in (["docker", "info", "--format", "{{.ServerVersion}}"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(command, capture_output=True, timeout=15, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
        if done.returncode != 0 or not done.stdout.strip():
            return False
    return True


def jvm_available() -> bool:
    """Whether Java and Maven are there."""
    return shutil.which("java") is not None and shutil.which("mvn") is not None


def start(port: int, directory: Path) -> Broker:
    """Start Apache Kafka on 127.0.0.1:`port`, its files in `directory`; returns when it answers."""
    if docker_engine_answers():
        return _start_docker(port)
    if jvm_available():
        return start_on_jvm(port, directory)
    raise BrokerError(
        "Apache Kafka needs a Docker engine, or Java 17 and Maven; none of them answers. "
        "Install one, or name a running broker in AUDITFUSE_TEST_KAFKA (tests) or in the configuration."
    )


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_listening(port: int, alive: Callable[[], bool], log: Path | None) -> None:
    """Return once something accepts connections on the port; raises BrokerError with the log's end."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and alive():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-2000:] if log and log.exists() else ""
    raise BrokerError(f"the broker did not come up on port {port}\n{tail}")


def end_with_parent() -> None:
    """In the child: end when the parent is killed, so that no test run leaves a broker behind (Linux)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def stop_child(child: "subprocess.Popen[bytes]") -> None:
    """End a child: politely, then for good."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _start_docker(port: int) -> Broker:
    compose = ["docker", "compose", "-p", f"auditfuse-kafka-{port}", "-f", str(ROOT / "docker-compose.yml")]
    environment = {**os.environ, "KAFKA_PORT": str(port)}
    up = subprocess.run(
        [*compose, "up", "--wait", "kafka"], env=environment, capture_output=True, text=True, check=False
    )
    if up.returncode != 0:
        raise BrokerError(f"docker compose could not start Kafka:\n{up.stderr[-2000:]}")

    def down() -> None:
        subprocess.run([*compose, "down", "-v"], env=environment, capture_output=True, check=False)

    return Broker(f"127.0.0.1:{port}", "Apache Kafka (Docker)", down, lambda: True)


def start_on_jvm(
    port: int,
    directory: Path,
    settings: Mapping[str, str] | None = None,
    format_options: Sequence[str] = (),
) -> Broker:
    """Start it on the JVM, with further settings over ours and options of its storage tool."""
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    jars = classpath()
    properties = _write_properties(directory, port, settings or {})
    log = directory / "broker.log"
    java = ["java", *JVM_OPTIONS, "-cp", jars]
    with log.open("wb") as output:
        if not (directory / "log" / "meta.properties").exists():
            _format(java, properties, format_options)
        child = subprocess.Popen(
            [*java, "kafka.Kafka", str(properties)],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            preexec_fn=end_with_parent,  # noqa: PLW1509 (started before any thread)
        )
    try:
        wait_until_listening(port, lambda: child.poll() is None, log)
    except BaseException:
        stop_child(child)
        raise
    return Broker(
        f"127.0.0.1:{port}", "Apache Kafka (JVM)", lambda: stop_child(child), lambda: child.poll() is None
    )


def _format(java: list[str], properties: Path, options: Sequence[str]) -> None:
    cluster_id = base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
    # A leading dash would be read as an option.
    command = [*java, "kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id=A{cluster_id[1:]}"]
    done = subprocess.run(
        [*command, *options, "--config", str(properties)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BrokerError(f"Kafka's storage could not be formatted:\n{(done.stdout + done.stderr)[-2000:]}")


def _write_properties(directory: Path, port: int, further: Mapping[str, str]) -> Path:
    path = directory / "server.properties"
    # The port is part of what was formatted: a second start on the same files keeps it.
    kept = re.search(r"bootstrap\.servers=127\.0\.0\.1:(\d+)", path.read_text()) if path.exists() else None
    controller = int(kept[1]) if kept else free_port()
    settings = {
        **SETTINGS,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "log.dirs": str(directory / "log"),
        **further,
    }
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return path


def classpath() -> str:
    """The jars, resolved once per content of pom.xml."""
    pom = HERE / "pom.xml"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    cached = ROOT / "build" / "kafka" / f"classpath-{digest}.txt"
    if cached.exists():
        text = cached.read_text().strip()
        if text and all(Path(jar).exists() for jar in text.split(os.pathsep)):
            return text
    cached.parent.mkdir(parents=True, exist_ok=True)
    part = cached.with_suffix(f".{os.getpid()}")
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:build-classpath", f"-Dmdep.outputFile={part}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not part.exists():
        raise BrokerError(
            f"Maven could not resolve the jars of Kafka:\n{(done.stdout + done.stderr)[-2000:]}"
        )
    part.replace(cached)
    return cached.read_text().strip()


def main() -> int:
    """Run the broker in the foreground."""
    parser = argparse.ArgumentParser(description="Apache Kafka (KRaft, one node) on loopback.")
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--directory", type=Path, default=ROOT / "build" / "kafka" / "broker")
    options = parser.parse_args()
    stopping = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopping.set())
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", options.port), 1.0):
        print(
            f"something already listens on port {options.port}; choose another with --port", file=sys.stderr
        )
        return 2
    try:
        broker = start(options.port, options.directory)
    except BrokerError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{broker.bootstrap}  {broker.kind}; Ctrl-C stops it", flush=True)
    while broker.alive() and not stopping.wait(0.5):
        pass
    ended_by_itself = not stopping.is_set()
    broker.stop()
    return 1 if ended_by_itself else 0


if __name__ == "__main__":
    sys.exit(main())
