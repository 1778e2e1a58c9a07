"""One request to a webhook: resolved, checked, connected to the checked address, and bounded in time and size.

The name is resolved once, and the connection goes to an address of that answer. So an answer that changes leads
nowhere else. Redirects are not followed.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

from chatkeep.core.life.hooks import RETRY_MAX_S, HookRequest, Webhook

_PORTS: Final = {"http": 80, "https": 443}
_TAKEN: Final = range(200, 300)
_MOVED: Final = range(300, 400)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")  # all that is assigned for the internet (RFC 4291)

Resolve = Callable[[str, int], Sequence[str]]


class Posted(NamedTuple):
    """The end of a try: the status, 0 without an answer, and why it failed. `wait_s` is the pause asked for."""

    status: int
    reason: str = ""
    wait_s: float = 0.0

    @property
    def is_taken(self) -> bool:
        """Whether the webhook took the request."""
        return self.status in _TAKEN


def resolved(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_of_internet(address: str) -> bool:
    """Tell whether an address is one of the internet, and carries no other kind inside."""
    one = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(one, ipaddress.IPv6Address):
        carried = one.ipv4_mapped or one.sixtofour or (one.teredo[1] if one.teredo else None)
        if one in _NAT64:
            carried = ipaddress.IPv4Address(int(one) & 0xFFFFFFFF)
        if carried is not None:
            return is_of_internet(str(carried))
        if one not in _GLOBAL_UNICAST:  # Python takes site-local and translated addresses for global ones
            return False
    return one.is_global and not one.is_multicast


def post(hook: Webhook, request: HookRequest, at_s: int, resolve: Resolve = resolved) -> Posted:
    """Send a request once, and return how it ended; it takes at most `timeout_s` behind the answer of the resolver."""
    url = urlsplit(hook.url)
    host, port = url.hostname or "", url.port or _PORTS[url.scheme]
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError):
        return Posted(0, "the name of the host has no address")
    allowed = [one for one in addresses if hook.allow_private or is_of_internet(one)]
    if not allowed:
        return Posted(0, "the address is private: set allow_private to send there")
    with _Attempt(hook.timeout_s) as attempt:
        try:
            attempt.connect(allowed, port, host if url.scheme == "https" else None)
            headers = {"Host": url.netloc.encode("idna").decode(), **request.headers(hook.secret, at_s)}
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            return attempt.answer(host, port, target, headers, request.body.encode())
        except ssl.SSLError:
            return Posted(0, "the connection is not secure")
        except TimeoutError:
            return Posted(0, "no answer in time")
        except (OSError, http.client.HTTPException, ValueError):
            return Posted(0, "no answer in time" if attempt.is_over else "no connection, or no answer")


class _Attempt:
    """A connection with an end: when the time is over, it is shut, whatever it waits for."""

    def __init__(self, timeout_s: float) -> None:
        self.is_over = False
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(timeout_s, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._socket is not None:
            self._socket.close()

    def connect(self, addresses: Sequence[str], port: int, server_name: str | None) -> None:
        """Connect to the first of the addresses that answers, with TLS for the name of a server."""
        failure = OSError("no address")
        for address in addresses:
            if self.is_over:
                break
            try:
                connected = socket.create_connection((address, port), timeout=self._timeout_s)
            except OSError as error:
                failure = error
                continue
            self._use(connected)
            if server_name is not None:
                self._secure(connected, server_name)
            return
        raise failure

    def _secure(self, connected: socket.socket, server_name: str) -> None:
        context = ssl.create_default_context()
        secured = context.wrap_socket(connected, server_hostname=server_name, do_handshake_on_connect=False)
        self._use(secured)
        secured.do_handshake()

    def _use(self, connected: socket.socket) -> None:
        self._socket = connected
        if self.is_over:  # it may end before there is anything to shut
            raise TimeoutError

    def answer(self, host: str, port: int, target: str, headers: dict[str, str], body: bytes) -> Posted:
        """Send the request, and return what status and headers of its answer say; nobody reads the rest."""
        connection = http.client.HTTPConnection(host, port)
        connection.sock = self._socket
        connection.request("POST", target, body=body, headers=headers)
        found = connection.getresponse()
        if self.is_over:  # it may end within the headers
            raise TimeoutError
        if found.status in _MOVED:
            return Posted(found.status, f"status {found.status}: redirects are not followed")
        asked = found.getheader("Retry-After", "")
        wait_s = min(float(asked), RETRY_MAX_S) if asked.isascii() and asked.isdigit() else 0.0
        return Posted(found.status, "" if found.status in _TAKEN else f"status {found.status}", wait_s)

    def _end(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
