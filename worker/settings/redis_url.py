"""What a Redis URL says: one server, Sentinels that know the primary, or the start nodes of a Cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

Kind = Literal["server", "unix", "sentinel", "cluster"]
Node = tuple[str, int]

# scheme → what it leads to, over TLS, port where none is given
_SCHEMES: dict[str, tuple[Kind, bool, int]] = {
    "redis": ("server", False, 6379),
    "rediss": ("server", True, 6379),
    "unix": ("unix", False, 0),
    "redis+sentinel": ("sentinel", False, 26379),
    "rediss+sentinel": ("sentinel", True, 26379),
    "redis+cluster": ("cluster", False, 6379),
    "rediss+cluster": ("cluster", True, 6379),
}
SCHEMES = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
_NODE = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A Redis URL taken apart. `nodes` are the Sentinels, the start nodes, or the one server."""

    kind: Kind
    tls: bool
    nodes: tuple[Node, ...]
    path: str = ""
    service: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)


def parse_redis_url(url: str) -> RedisAddress:
    """Take a URL apart; see deploy/docs/redis.md for its forms.

    Raises:
        ValueError: it is none of them; the message never holds a part of the URL, which may be a secret.
    """
    parts = _split(url)
    kind, tls, port = _SCHEMES[parts.scheme]
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    options = _options(parts.query)
    service, path_db = _service_and_db(kind, unquote(parts.path))
    address = RedisAddress(
        kind=kind,
        tls=tls,
        nodes=() if kind == "unix" else _nodes(hosts, port, many=kind != "server"),
        path=unquote(parts.path) if kind == "unix" else "",
        service=service,
        db=_db(options.get("db", path_db)),
        username=unquote(username) or options.get("username", ""),
        password=unquote(password) or options.get("password", ""),
    )
    if kind == "cluster" and address.db:
        raise ValueError("a Cluster has database 0 only")
    if kind == "unix" and (hosts or not address.path.strip("/")):
        raise ValueError("a unix:// URL has three slashes and a path: unix:///run/redis.sock")
    return address


def _split(url: str) -> SplitResult:
    if url.partition("://")[0] not in _SCHEMES or "://" not in url:
        raise ValueError(f"must begin with one of {SCHEMES}")
    escape = "in a user name or password every character but letters and digits is written as %XX"
    if not url.isprintable() or " " in url:
        raise ValueError(f"must not hold spaces or control characters; {escape}")
    try:
        parts = urlsplit(url)
    except ValueError:  # its own message echoes the host and what stands before it
        raise ValueError(f"is no URL; {escape}") from None
    if parts.fragment:
        raise ValueError(f"must not hold a #; {escape}")
    return parts


def _nodes(hosts: str, default_port: int, many: bool) -> tuple[Node, ...]:
    if not hosts and not many:
        return (("localhost", default_port),)
    nodes = []
    for text in hosts.split(","):
        match = _NODE.fullmatch(text)
        if match is None or not 0 < int(match["port"] or default_port) < 2**16:
            shape = "host:port,host:port,…" if many else "host:port"
            raise ValueError(f"must name {shape}; a password's own / ? # @ : and % are written as %XX")
        nodes.append((match["ipv6"] or match["name"], int(match["port"] or default_port)))
    if len(nodes) > 1 and not many:
        raise ValueError("names several hosts: redis+sentinel:// and redis+cluster:// do so")
    return tuple(nodes)


def _service_and_db(kind: Kind, path: str) -> tuple[str, str]:
    if kind == "unix":
        return "", "0"
    if kind != "sentinel":
        return "", path.strip("/") or "0"
    service, _, db = path.strip("/").partition("/")
    if not service:
        raise ValueError("must name the service that the Sentinels watch: redis+sentinel://host:26379/SERVICE")
    return service, db or "0"


def _db(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise ValueError("the database behind the host must be a number")
    return int(text)


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if options.keys() - {"db", "username", "password"}:
        raise ValueError("takes no options but db, username and password; the others are settings of their own")
    return options
