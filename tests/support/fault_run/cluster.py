"""A cluster of Apache Kafka on loopback, one to three nodes, that can be killed and started node by node.

Besides the listener of the harness each node has one for every worker, advertised at a proxy's address: what
a worker hears of the cluster, it hears through its own proxies.
"""

import base64
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support.broker import broker_script

JVM_OPTIONS = ["-Xms96m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN"]
CLUSTER_ID = base64.urlsafe_b64encode(b"auditfuse-faults").rstrip(b"=").decode()


class Node:
    """One node: broker and controller."""

    def __init__(self, number: int, directory: Path, doors: Mapping[str, int]) -> None:
        """`doors`: the port of each worker's proxy to this node."""
        script = broker_script()
        self.number = number
        self.directory = directory
        self.port, self.controller = script.free_port(), script.free_port()
        self.inner = {worker: script.free_port() for worker in doors}
        """The port behind each proxy."""
        self._doors = dict(doors)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None
        return self._process.pid

    def prepare(self, voters: "list[Node]") -> None:
        """Write its settings and format its storage."""
        self.directory.mkdir(parents=True)
        settings = {**broker_script().SETTINGS, **self._settings(voters)}
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        ids = (f"{n.number}@127.0.0.1:{n.controller}:{_directory_id(n.number)}" for n in voters)
        command = [*self._java(), "kafka.tools.StorageTool", "format", f"--cluster-id={CLUSTER_ID}"]
        command += [f"--initial-controllers={','.join(ids)}", "--config", str(self._properties)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it; does not wait until it answers."""
        with (self.directory / "broker.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*self._java(), "kafka.Kafka", str(self._properties)],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                preexec_fn=broker_script().end_with_parent,  # noqa: PLW1509 (sets what only the child can)
            )

    def wait_until_listening(self) -> None:
        """Return once it takes connections."""
        broker_script().wait_until_listening(
            self.port, lambda: self.is_running, self.directory / "broker.log"
        )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; a SIGKILL is waited for."""
        assert self._process is not None
        self._process.send_signal(number)
        if number is signal.SIGKILL:
            self._process.wait(30)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(30)

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    def _java(self) -> list[str]:
        return ["java", *JVM_OPTIONS, "-cp", broker_script().classpath()]

    def _settings(self, voters: "list[Node]") -> dict[str, str]:
        count = len(voters)
        copies, in_sync = str(count), str(max(1, count - 1))
        ours = {"PLAINTEXT": self.port, "CONTROLLER": self.controller}
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in (ours | self.inner).items())
        advertised = ",".join(f"{name}://127.0.0.1:{port}" for name, port in (ours | self._doors).items())
        return {
            "node.id": str(self.number),
            "listeners": listeners,
            "advertised.listeners": advertised,
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in ours | self.inner),
            "controller.quorum.bootstrap.servers": ",".join(f"127.0.0.1:{n.controller}" for n in voters),
            "log.dirs": str(self.directory / "log"),
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            # A node that is gone is noticed within seconds: the run is short.
            "broker.session.timeout.ms": "6000",
            "broker.heartbeat.interval.ms": "1000",
        }


class Cluster:
    """All nodes."""

    def __init__(self, directory: Path, doors: Mapping[int, Mapping[str, int]]) -> None:
        """`doors`: by node number (from 1) the port of each worker's proxy to it."""
        self.nodes = [Node(number, directory / str(number), named) for number, named in doors.items()]

    @property
    def bootstrap(self) -> str:
        """Where the harness reaches it, past all proxies."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def copies(self) -> int:
        """Replicas of each partition."""
        return len(self.nodes)

    def start(self) -> None:
        """Format and start all nodes; returns when they answer."""
        for node in self.nodes:
            node.prepare(self.nodes)
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_until_listening()

    def resident_mb(self) -> int:
        """Memory of all nodes together."""
        return sum(_resident_kb(node.pid) for node in self.nodes if node.is_running) // 1024

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.stop()


def _directory_id(number: int) -> str:
    """A UUID as Kafka writes it."""
    return base64.urlsafe_b64encode(b"auditfuse-node-%d" % number).rstrip(b"=").decode()


def _resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0
