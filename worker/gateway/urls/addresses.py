"""Which addresses a picture may be fetched from: the public ones, and private ones where a setting says so.

Lists of our own, not `ipaddress.is_global`, whose answers differ between patch releases of Python. Sources: IANA's
registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890).
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Permits = Callable[[Address], bool]

_PRIVATE_V4 = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_NEVER_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for loopback
            "100.64.0.0/10",  # shared between carriers and clouds; Alibaba's metadata is in it
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's platform, behind an address that looks public
            "169.254.0.0/16",  # link-local; the metadata of most clouds is in it
            "192.0.0.0/24",  # protocol assignments; Oracle's metadata is in it
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "198.18.0.0/15",  # benchmarks between networks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)

_PRIVATE_V6 = IPv6Network("fc00::/7")
# Outside of it lie loopback, link-local, multicast, and all that wraps an IPv4 address: mapped, compatible, NAT64.
# Nothing unassigned is worth a risk, so this one is a list of what is allowed.
_GLOBAL_V6 = IPv6Network("2000::/3")
_NEVER_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, which wraps IPv4, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which wraps IPv4
            "3fff::/20",  # documentation
            "fd00:ec2::/32",  # metadata of Amazon's cloud, amid the private ones
            "fd20:ce::/32",  # metadata of Google's
        ),
    )
)
# The last 64 bits of ISATAP's addresses, which wrap IPv4 under any prefix.
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def is_private(address: Address) -> bool:
    """Whether it is one of a plant's own network: 10/8, 172.16/12, 192.168/16, fc00::/7."""
    if isinstance(address, IPv4Address):
        return any(address in network for network in _PRIVATE_V4)
    return address in _PRIVATE_V6


def may_be_reached(address: Address, *, allow_private: bool) -> bool:
    """Whether a request may make us connect to this address.

    Args:
        allow_private: also private ones. Nothing allows loopback, link-local, unspecified, multicast, reserved or
            shared addresses, nor IPv6 addresses with an IPv4 address inside.
    """
    if isinstance(address, IPv4Address):
        never = any(address in network for network in _NEVER_V4)
    else:
        never = any(address in network for network in _NEVER_V6) or _is_odd(address)
    return not never and (allow_private or not is_private(address))


def _is_odd(address: IPv6Address) -> bool:
    """With a zone, wrapping IPv4 by ISATAP, or neither global nor private."""
    wraps = int(address) >> 32 & 0xFFFF_FFFF in _ISATAP
    return wraps or address.scope_id is not None or not (address in _GLOBAL_V6 or is_private(address))
