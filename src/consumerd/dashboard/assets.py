"""What browsers load once: the style, the script, the icon. Addresses change when the content does."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

STATIC = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "cache-control": "public, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}


class Assets:
    """Read once, and kept."""

    def __init__(self) -> None:
        self._contents = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in KINDS}

    @property
    def addresses(self) -> Mapping[str, str]:
        """By name, `page.css`."""
        return {
            name: f"/static/{name}?{hashlib.sha256(content).hexdigest()[:12]}"
            for name, content in self._contents.items()
        }

    async def answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        content = self._contents.get(name)
        if content is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        return Response(content, headers=HEADERS, media_type=KINDS[Path(name).suffix])
