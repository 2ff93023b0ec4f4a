"""Who may ask, and how often."""

from __future__ import annotations

import ipaddress

from starlette.requests import Request

from worker.gateway.access.keys import KeyRing
from worker.gateway.access.rate import RateLimiter
from worker.gateway.failures import Failure
from worker.settings import GatewaySettings

_IPV6_PREFIX = 64
_HOW = "send a key in the header X-API-Key, or in Authorization: Bearer"


class Access:
    """Keys, where they are asked for, and the rate a key, or without keys a client's address, may have.

    Raises:
        SettingsError: the file of keys cannot be used.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._keys = KeyRing.read(settings.keys_file) if settings.keys_file else None
        self._rate = RateLimiter(settings.rate_per_s, settings.rate_burst)

    def check_key(self, request: Request) -> str:
        """Whose request it is.

        Raises:
            Failure: 401 there is no key, 403 it is nobody's.
        """
        if self._keys is None:
            return _client(request.client.host if request.client else "")
        presented = _key_in(request)
        if not presented:
            raise Failure(401, f"an API key is needed: {_HOW}")
        name = self._keys.name_of(presented)
        if name is None:
            raise Failure(403, "the API key is not known here")
        return name

    def check(self, request: Request) -> str:
        """The same, and counts the request.

        Raises:
            Failure: 401, 403; 429 it is one too many.
        """
        who = self.check_key(request)
        wait_s = self._rate.wait_s(who)
        if wait_s:
            raise Failure(429, "too many requests: gateway.rate_per_s and gateway.rate_burst limit them", wait_s)
        return who


def _client(address: str) -> str:
    """Who asks, by the address; of IPv6 by its first half, for the other half is the client's to choose."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # there is none, as on a socket of this machine
        return address
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped:
        return address
    return str(ipaddress.ip_network((found, _IPV6_PREFIX), strict=False))


def _key_in(request: Request) -> str:
    if key := request.headers.get("x-api-key", ""):
        return key
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
