"""Apache Kafka: one node that is broker and controller, fetched through Maven."""

import contextlib
import hashlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, Self

from servers.accounts import private_folder
from servers.clerk import Clerk, ClerkError
from servers.packages import UnavailableError, require_programs
from servers.ports import free_port, is_open
from servers.process import Plan, ServerProcess

_HERE = Path(__file__).parent
_CACHE = _HERE.parents[1] / ".cache"
_POM = _HERE / "pom.xml"
_LOG_CONFIGURATION = _HERE / "kafka-log.properties"
_JAVA_PACKAGES = ("default-jre-headless",)  # 17 or newer, since Debian 12
_MAVEN_PACKAGES = ("maven",)
_FETCH_S = 1200
_TOPIC_S = 90.0
_LOOK_S = 30.0
_CLUSTER_ID = "Y29uc3VtZXJkLXRlc3RzMQ"  # any 16 bytes in base64
_JVM_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

USER, PASSWORD = "guest", "guests-password"
"""Who comes to a broker of ours by its guarded address, where nothing is allowed but what `allow` has allowed."""

_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_PLAINTEXT",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",  # whoever does not come by the guarded listener
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.guarded.plain.sasl.jaas.config": (
        f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    ),
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "message.max.bytes": str(20 * 1024 * 1024),
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "broker.session.timeout.ms": "2000",  # a killed broker may not come back before
    "broker.heartbeat.interval.ms": "250",
    "log.cleaner.dedupe.buffer.size": str(2 * 1024 * 1024),  # the default is a quarter of the heap
}


class TopicFactory(Protocol):
    """What the fixture `kafka_topic` gives: makes a fresh topic and returns its name."""

    def __call__(self, name: str = "topic", partitions: int = 1, config: Mapping[str, str] | None = None) -> str: ...


class KafkaServer:
    """A broker at the address `brokers`: our own, or a foreign one, which we use and neither stop nor start.

    guarded: another address of our own, where clients are to log in by SASL_PLAINTEXT and PLAIN, and need rights.

    Its `clerk` answers what `servers.kafka_clerk` can, in a process that has the Kafka clients.
    """

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self.guarded = ""
        self.clerk = Clerk("servers.kafka_clerk", brokers)
        self._process: ServerProcess | None = None

    @classmethod
    def launch(cls, properties: Mapping[str, str] | None = None) -> Self:
        """Start a broker of our own on free ports; `properties` of server.properties go over those of the tests."""
        java, jars = ensure_installed()
        port, controller_port, guarded_port = free_port(), free_port(), free_port()
        brokers = f"127.0.0.1:{port}"
        folder = private_folder("kafka")
        configuration = folder / "server.properties"
        addresses = _addresses(port, controller_port, guarded_port) | {"log.dirs": str(folder / "data")}
        configuration.write_text(_property_lines(_PROPERTIES | addresses | dict(properties or {})))
        run_java = (
            java,
            *_JVM_OPTIONS,
            f"-Dlog4j2.configurationFile={_LOG_CONFIGURATION.as_uri()}",
            "-cp",
            f"{jars}/*",
        )
        format_data = ("kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={_CLUSTER_ID}")
        plan = Plan(
            name="Kafka",
            folder=folder,
            prepare=((*run_java, *format_data, "--config", str(configuration)),),
            command=(*run_java, "kafka.Kafka", str(configuration)),
        )
        server = cls(brokers)
        server.guarded = f"127.0.0.1:{guarded_port}"
        try:
            server._process = ServerProcess.launch(plan, lambda: is_open(port) and server.is_serving())
        except BaseException:
            server.close()
            raise
        return server

    @property
    def is_ours(self) -> bool:
        """Whether we started it, and so may stop it."""
        return self._process is not None

    @property
    def process(self) -> ServerProcess:
        """The process of our own server; a foreign one's is not ours to touch."""
        if self._process is None:
            raise RuntimeError(f"the broker at {self.brokers} is not ours to stop or start")
        return self._process

    def start(self) -> None:
        """Start it with the data that it has, on the ports that it had."""
        self.process.start()

    def stop(self) -> None:
        """Stop it in an orderly way."""
        self.process.stop()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()

    def restart(self) -> None:
        """Stop it and start it again."""
        self.process.restart()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It neither answers nor closes a connection."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End our own server for good; a foreign one is left alone."""
        self.clerk.close()
        if self._process is not None:
            self._process.close()

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        """Create a topic and wait until each of its partitions has a leader."""
        arguments = {"name": name, "partitions": partitions, "config": dict(config or {})}
        self.clerk.ask("create_topic", within_s=_TOPIC_S, **arguments)

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        self.clerk.ask("delete_topic", within_s=_TOPIC_S, name=name)

    def allow(self, kind: str, name: str, right: str = "READ") -> None:
        """Allow something to who comes to the guarded address; kind: TOPIC or GROUP."""
        self.clerk.ask("allow", within_s=_LOOK_S, user=USER, kind=kind, name=name, right=right)

    def is_serving(self) -> bool:
        """Whether it answers a client at this moment."""
        try:
            return bool(self.clerk.ask("is_serving", within_s=_LOOK_S))
        except ClerkError:
            return False


def ensure_installed() -> tuple[str, Path]:
    """The path of java and the folder with the broker's jars, after installing and fetching what is missing."""
    java = require_programs(("java",), _JAVA_PACKAGES)["java"]
    jars = _CACHE / f"kafka-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"
    if not jars.is_dir():
        _fetch_jars(require_programs(("mvn",), _MAVEN_PACKAGES)["mvn"], jars)
    return java, jars


def _fetch_jars(maven: str, jars: Path) -> None:
    """Let Maven copy the broker and what it depends on into `jars`, all or nothing."""
    _CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as fetched:
        goal = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fetched}/jars")
        command = (maven, "--batch-mode", "--quiet", "--file", str(_POM), *goal)
        print("+", *command, flush=True)
        try:
            subprocess.run(
                command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_FETCH_S
            )
        except subprocess.SubprocessError as error:
            raise UnavailableError(
                f"Maven could not fetch the broker ({_reason(error)}); it needs a repository"
            ) from error
        with contextlib.suppress(OSError):  # another run was quicker
            Path(fetched, "jars").rename(jars)


def _reason(error: Exception) -> str:
    output = error.stdout if isinstance(error, subprocess.CalledProcessError) else ""
    return next((line for line in output.splitlines() if "ERROR" in line), str(error))


def _addresses(port: int, controller_port: int, guarded_port: int) -> dict[str, str]:
    controller = f"127.0.0.1:{controller_port}"
    for_clients = f"BROKER://127.0.0.1:{port},GUARDED://127.0.0.1:{guarded_port}"
    return {
        "listeners": f"{for_clients},CONTROLLER://{controller}",
        "advertised.listeners": for_clients,
        "controller.quorum.bootstrap.servers": controller,
    }


def _property_lines(properties: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())
