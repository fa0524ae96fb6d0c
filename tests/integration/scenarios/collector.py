"""A collector of traces: OTLP over HTTP, as OpenTelemetry's own takes them. It may also never answer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector(ThreadingHTTPServer):
    """spans: all that came, each with `resource`, the attributes of what has sent it.

    asked: somebody has asked. answers: without it, nobody gets an answer before the end.
    """

    daemon_threads = True

    def __init__(self, *, answers: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.asked, self.ends = threading.Event(), threading.Event()
        self.headers: list[dict[str, str]] = []
        self.spans: list[tuple[dict[str, Any], Any]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        self.headers.append(headers)
        for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = attributes(sent.resource)
            self.spans += [(resource, span) for scope in sent.scope_spans for span in scope.spans]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.set()
        if not self.server.answers:
            self.server.ends.wait()
            return
        assert self.path == "/v1/traces"
        self.server.take(body, dict(self.headers))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Into nobody's output."""


def attributes(of: Any) -> dict[str, Any]:
    """Of a resource or a span, as plain values."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


@contextlib.contextmanager
def collecting(*, answers: bool = True) -> Iterator[Collector]:
    """One that is there until the end of the `with`."""
    with Collector(answers=answers) as collector:
        serving = threading.Thread(target=collector.serve_forever, args=(0.05,), daemon=True)
        serving.start()
        try:
            yield collector
        finally:
            collector.ends.set()
            collector.shutdown()
            serving.join()
