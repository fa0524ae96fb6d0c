"""Game servers that take everything, and channels to which all is paid: `python -m benchmarks.daemons.partners`."""

from __future__ import annotations

import json

from benchmarks.daemons.filling import AMOUNT
from world.server import Reply, serve


def answer(path: str, body: bytes, headers: dict[str, str]) -> Reply:
    """To a webhook, or to GET /payments/ID."""
    del headers
    if body:
        return Reply(204)
    payment_id = int(path.rpartition("/")[2])
    return Reply(200, json.dumps({"status": "paid", "payment_id": payment_id, "amount": AMOUNT}).encode())


if __name__ == "__main__":
    serve(answer)
