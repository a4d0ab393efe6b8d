"""Whom the viewer answers: its own page and programs, but no page that another site put into the browser.

A browser lets any page open a WebSocket to any port of this machine, and only says which page it was
(Origin). It also lets a site give its own name a new address, this machine's, and so call itself the same
site (DNS rebinding); then Host tells that it came by a foreign name. viser 1.1 looks at neither.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from morphkit.errors import MorphkitError

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_NAMED = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d+)?", re.ASCII)
_PORTS = {"http": 80, "https": 443}
_REFUSED = "This page is for its own address alone.\n"
_UNGUARDED = "This version of viser cannot be kept from answering other sites' pages; install viser 1.1.1."
_one_at_a_time = threading.Lock()

Process = Callable[[Any, Any], Any]


class Guard:
    """Tells whether a request may be answered.

    One without an Origin comes from no page, and may. One with an Origin may if that is where the request
    went to (Host), or one of this server's own addresses. On a loopback, Host has to be a name of the
    loopback, whatever its port: a forwarded port may have another number.

    Parameters
    ----------
    host : that the server was told to listen at.
    """

    def __init__(self, host: str) -> None:
        self._names = _LOCAL | {host.lower().strip("[]")}
        self._loopback = _is_loopback(host)

    def allows(self, hosts: list[str], origins: list[str], port: int) -> bool:
        """Return whether a request may be answered.

        Parameters
        ----------
        hosts, origins : the request's headers of these names.
        port : that is served.
        """
        asked = _place("http", hosts)
        if self._loopback and (asked is None or asked[0] not in self._names):
            return False
        if not origins:
            return True
        scheme, _, rest = origins[0].partition("://")
        origin = _place(scheme, [rest, *origins[1:]])
        if origin is None:
            return False
        return origin == _place(scheme, hosts) or (origin[0] in self._names and origin[1] == port)

    def before(self, process: Process | None) -> Process:
        """Return a `process_request` for `websockets` that refuses what may not be answered, by a 403."""

        def guarded(connection: Any, request: Any) -> Any:
            hosts, origins = (request.headers.get_all(name) for name in ("Host", "Origin"))
            if not self.allows(hosts, origins, connection.local_address[1]):
                return connection.respond(HTTPStatus.FORBIDDEN, _REFUSED)
            return None if process is None else process(connection, request)

        return guarded


def start_guarded(start: Callable[[], Any], guard: Guard) -> Any:
    """Return viser's server, which `start` makes and starts, guarded.

    viser has no place for a guard: it calls `websockets.asyncio.server.serve` itself. That name is another
    while `start` runs, and does more for viser alone.

    Raises
    ------
    MorphkitError
        If viser did not start its server like this; it is stopped then.
    """
    from websockets.asyncio import server

    serve, seen = server.serve, []

    def guarded(handler: Any, *rest: Any, **options: Any) -> Any:
        if str(getattr(handler, "__module__", "")).partition(".")[0] == "viser":
            options["process_request"] = guard.before(options.get("process_request"))
            seen.append(handler)
        return serve(handler, *rest, **options)

    with _one_at_a_time:
        setattr(server, "serve", guarded)  # noqa: B010 - a type may not be assigned to
        try:
            started = start()
        finally:
            setattr(server, "serve", serve)  # noqa: B010
    if not seen:
        started.stop()
        raise MorphkitError(_UNGUARDED)
    return started


def _is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address; false for a wildcard."""
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return all(ipaddress.ip_address(str(address[0])).is_loopback for *_, address in found)
    except (OSError, ValueError):
        return False


def _place(scheme: str, found: list[str]) -> tuple[str, int] | None:
    """Return the host and port that a header names; None if it is not there once, or names nothing else."""
    if len(found) != 1 or scheme not in _PORTS or not _NAMED.fullmatch(found[0]):
        return None
    try:
        parts = urlsplit(f"{scheme}://{found[0]}")
        return str(parts.hostname), parts.port or _PORTS[scheme]
    except ValueError:  # a port that is none
        return None
