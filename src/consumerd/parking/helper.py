"""The store helper: `python -m consumerd.parking.helper FD`. Runs in a process of its own, while people look at tasks.

The master executes it, or `consumerd parked` where no master runs. References to secrets are resolved in the
environment of that process.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from consumerd.config.redaction import Redactor
from consumerd.config.shape import Settings
from consumerd.errors import ConsumerdError, UsageError
from consumerd.parking.opening import open_store, resolve_parking
from consumerd.parking.requests import TooShortError, answer
from consumerd.parking.store import ParkingStore
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import inherited_channel
from consumerd.wire.messages import Serve, StoreRequest, StoreResult

SEND_TIMEOUT_S = 60.0


class Helper:
    """Answers requests, one after the other, until the other end is closed."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._store: ParkingStore | None = None
        self._redactor = Redactor()

    def run(self) -> None:
        """Serve until the peer is gone."""
        serve: Serve | None = None
        while (received := self._channel.receive()) is not None:
            match received[0]:
                case Serve() as serve:
                    pass
                case StoreRequest() as request if serve is not None:
                    self._answer(request, serve)
                case message:
                    raise UsageError(f"the store helper cannot answer {type(message).__name__}: restart the master")

    def close(self) -> None:
        """Close the store and the channel."""
        if self._store is not None:
            self._store.close()
        self._channel.close()

    def _answer(self, request: StoreRequest, serve: Serve) -> None:
        number = request.request
        try:
            for page in answer(self._opened(serve), request.verb, request.arguments):
                self._send(StoreResult(number, page, is_last=False))
            result = StoreResult(number)
        except ConsumerdError as error:
            is_misuse = isinstance(error, TooShortError)
            result = StoreResult(number, failed=self._redactor.redact(str(error)), is_misuse=is_misuse)
        except OSError:
            raise  # of the channel: whoever asked has left
        except Exception as error:  # noqa: BLE001 - around one request: the others are to be answered
            told = f"the request failed with {type(error).__name__}: {error}"
            result = StoreResult(number, failed=self._redactor.redact(told))
        self._send(result)

    def _opened(self, serve: Serve) -> ParkingStore:
        if self._store is None:
            parking = Settings.model_validate_json(serve.settings).parking
            resolved, self._redactor = resolve_parking(parking, os.environ, Path(serve.directory))
            self._store = open_store(resolved, Path(serve.state_dir))
        return self._store

    def _send(self, result: StoreResult) -> None:
        self._channel.send(result, timeout_s=SEND_TIMEOUT_S)


def main(arguments: list[str]) -> int:
    """Serve on the descriptor that is the only argument. It leaves when whoever asked is gone, not before.

    A terminal's Ctrl-C goes to it as well: the master's stop is what ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        helper = Helper(inherited_channel(arguments))
    except ConsumerdError as error:
        sys.stderr.write(f"consumerd: {error}\n")
        return error.exit_code
    try:
        helper.run()
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        return 0  # whoever asked has left
    finally:
        helper.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
