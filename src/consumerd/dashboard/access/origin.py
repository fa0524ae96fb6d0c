"""Whose requests are taken: by names that are ours, and from pages of ours. Pure.

A page of somebody else's cannot read what we answer to a name that is not ours, whatever its own name leads to; nor
have a browser act for it, since a browser says where a form comes from.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit


def is_ours(host: str, names: Collection[str]) -> bool:
    """Whether `Host` is one of these names, `localhost`, or an address, which no name server can point elsewhere."""
    name = _without_port(host)
    if name is None:
        return False
    known = {each.lower() for each in names}
    return name == "localhost" or host.lower() in known or name in known or _is_address(name)


def comes_from_us(origin: str | None, host: str) -> bool:
    """Whether a form that was sent to `host` stands on a page of it, as the browser says by `Origin`."""
    if not origin:
        return False
    try:
        found = urlsplit(origin)
    except ValueError:
        return False
    usual = {"http": ":80", "https": ":443"}.get(found.scheme)
    if usual is None or found.path or found.query or found.fragment:
        return False
    return found.netloc.lower().removesuffix(usual) == host.lower().removesuffix(usual)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; a name but `localhost` is looked up by others."""
    name = host.strip("[]")
    return name == "localhost" or (_is_address(host) and ipaddress.ip_address(name).is_loopback)


def _without_port(host: str) -> str | None:
    try:
        found = urlsplit(f"//{host}")
        _ = found.port
    except ValueError:
        return None
    is_plain = found.netloc == host and found.hostname and not found.username and not found.password
    if not is_plain or found.hostname is None:
        return None
    return f"[{found.hostname}]" if ":" in found.hostname else found.hostname


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
