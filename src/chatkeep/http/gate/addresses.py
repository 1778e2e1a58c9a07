"""The client address of a request: one name for each client, however the address is spelt.

Limits count by this name, so a client with many addresses must not get many names. All loopback addresses
share one name, and so do all addresses of an IPv6 site (/64). An IPv6 address carrying an IPv4 address
(mapped, 6to4, Teredo, NAT64) has the name of the IPv4 address. Its owner may choose the other bits. But only a mapped
address, the kernel's own spelling, is this machine or a trusted proxy: anybody may take one of the others.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

LOCAL: Final = "local"
"""The name of this machine: 127.0.0.0/8, ::1, and a peer without an address, on a Unix socket."""

_IPV6_BITS_OF_A_SITE: Final = 64
_HOPS_MAX: Final = 20
"""Hops read from X-Forwarded-For: a longer row is an invention, not a network."""
_NAMES_KEPT: Final = 1024  # clients
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_WITH_PORT: Final = re.compile(r"\[([^\]]*)\](?::[0-9]+)?|([^:]*):[0-9]+", re.ASCII)
_IPV4_BITS: Final = (1 << 32) - 1

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(scope: Scope, proxies: Sequence[Network]) -> str:
    """Return the name of a request's client: the nearest hop outside the trusted proxies."""
    peer: tuple[str, int] | None = scope.get("client")
    if peer is None:
        return LOCAL
    nearest = peer[0]
    if not proxies:
        return canonical(nearest)
    for hop in islice(_hops(Headers(scope=scope)), _HOPS_MAX):
        if not _is_among(nearest, proxies) or address_of(hop) is None:
            break
        nearest = hop
    return canonical(nearest)


@lru_cache(maxsize=_NAMES_KEPT)
def canonical(host: str) -> str:
    """Return the name of a client: its site, or `LOCAL` for a loopback address."""
    address = _plain(host)
    return LOCAL if address is not None and address.is_loopback else site_of(host)


def site_of(host: str) -> str:
    """Return one name for all spellings of an address, and for all addresses of an IPv6 site (/64)."""
    address = address_of(host)
    if address is None:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), _IPV6_BITS_OF_A_SITE), strict=False))
    return str(address)


def address_of(host: str) -> Address | None:
    """Return the address in a text, as IPv4 if it carries an IPv4 address; None for any other text."""
    address = _plain(host)
    return _carried(address) or address if isinstance(address, ipaddress.IPv6Address) else address


def _plain(host: str) -> Address | None:
    """Return the address in a text, as IPv4 if it is a mapped one; None for any other text."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address within an IPv6 address that is not mapped, None if there is none.

    Source: RFC 3056 (6to4), 4380 (Teredo), 6052 (NAT64); 4291 for mapped ones.
    """
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & _IPV4_BITS)
    return address.sixtofour or (address.teredo[1] if address.teredo else None)


def _is_among(host: str, proxies: Sequence[Network]) -> bool:
    address = _plain(host)
    return address is not None and any(address in network for network in proxies)


def _hops(headers: Headers) -> Iterator[str]:
    """Yield the addresses of X-Forwarded-For, nearest first, without ports."""
    for hop in reversed(",".join(headers.getlist("x-forwarded-for")).split(",")):
        bare = hop.strip()
        found = _WITH_PORT.fullmatch(bare)
        yield (found[1] or found[2]) if found else bare
