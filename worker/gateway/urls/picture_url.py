"""The URL of a picture, taken apart once and strictly.

What is checked, what is connected to and what is sent are the same fields of one object, so that no two parsers can
read one URL differently. What browsers mend (backslashes, tabs, `http:host`, 127.1, full-width digits) is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urljoin

from worker.errors import UrlRefused
from worker.gateway.urls.addresses import Address

_MAX_CHARACTERS = 8192
_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"(https?)://([^/?#]*)(/[^?#]*)?(\?[^#]*)?(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
# Such a last label makes resolvers read the whole as a number: 127.1, 0x7f.1, 2130706433.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SPACES_AND_CONTROLS = re.compile(r"[\x00-\x20\x7f\\]")
_MAY_STAND_IN_A_TARGET = "!#$%&'()*+,/:;=?@[]-._~"


@dataclass(frozen=True, slots=True)
class PictureUrl:
    """A checked http or https URL.

    `host` is a name in lower case without a dot at its end, or an address as `ipaddress` writes it, which `address`
    then holds. `target` is path and query, percent-encoded.
    """

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None

    @classmethod
    def parse(cls, text: str) -> PictureUrl:
        """Take a URL apart.

        Raises:
            UrlRefused: 422, it is not http or https, holds a user or password, or cannot be read in one way only.
        """
        if len(text) > _MAX_CHARACTERS:
            raise _malformed(f"it is longer than {_MAX_CHARACTERS} characters")
        if _SPACES_AND_CONTROLS.search(text):
            raise _malformed("a space, control character or backslash is in it")
        parts = _URL.fullmatch(text)
        if parts is None:
            raise _malformed("it does not begin with http:// or https://")
        scheme, (host, address, port) = parts[1].lower(), _authority(parts[2])
        try:
            target = quote((parts[3] or "/") + (parts[4] or ""), safe=_MAY_STAND_IN_A_TARGET, errors="strict")
        except UnicodeEncodeError:  # half of a surrogate pair
            raise _malformed("it is not proper Unicode") from None
        return cls(scheme, host, port or _PORTS[scheme], target, address)

    @property
    def host_header(self) -> str:
        """Host, and port where it is not the scheme's own, as HTTP sends them."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def redirected(self, location: str) -> PictureUrl:
        """The URL that an answer's `Location` names, checked as strictly.

        Raises:
            UrlRefused: as `parse` does.
        """
        if _SPACES_AND_CONTROLS.search(location):  # before urljoin, which drops some of them
            raise _malformed("a space, control character or backslash is in it")
        try:
            return PictureUrl.parse(urljoin(f"{self.scheme}://{self.host_header}{self.target}", location))
        except ValueError:  # brackets that hold no address
            raise _malformed("its host is none") from None


def read_address(host: str) -> Address | None:
    """The address that a host is, or None where it is a name; IPv6 in brackets.

    Raises:
        ValueError: it looks like an address and is not one in the usual spelling.
    """
    if host.startswith("["):
        return IPv6Address(host[1:-1])
    return IPv4Address(host) if _NUMBER.fullmatch(host.rpartition(".")[2]) else None


def read_host(text: str) -> tuple[str, Address | None]:
    """A host in the one spelling used here, with its address where it is one.

    Raises:
        ValueError: it is neither a name nor an address in the usual spelling.
    """
    host = text.lower().removesuffix(".")
    address = read_address(host)
    if address is not None:
        return str(address), address
    if not _NAME.fullmatch(host):
        raise ValueError("not a host's name")
    return host, None


def _authority(text: str) -> tuple[str, Address | None, int]:
    """Host, address, and port or 0 of the part between // and the path."""
    if "@" in text:
        raise _malformed("a user or password is in it")
    if not text.isascii():
        raise _malformed("its host is not in ASCII; write it in its xn-- form")
    parts = _AUTHORITY.fullmatch(text)
    if parts is None or not 0 < int(parts[2] or 1) < 65_536:
        raise _malformed("its host or port is none")
    try:
        host, address = read_host(parts[1])
    except ValueError:
        raise _malformed("its host is neither a name nor an address in the usual spelling") from None
    return host, address, int(parts[2] or 0)


def _malformed(why: str) -> UrlRefused:
    return UrlRefused(422, f"the picture's URL is not accepted: {why}")
