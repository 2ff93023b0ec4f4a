"""Finding the primary anew before each connection: Sentinels know it by its service, a Cluster by the line's slot."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from typing import Any

import redis
from redis.connection import Connection, SSLConnection
from redis.crc import key_slot

from worker.settings.redis_url import Node
from worker.stream.login import Misconfigured


class Locator(ABC):
    """Asks nodes that should know, one after the other, where the primary is; keeps no answer and no connection."""

    def __init__(self, nodes: tuple[Node, ...], tls: bool, options: dict[str, Any]) -> None:
        self._nodes = nodes
        self._connection_class = SSLConnection if tls else Connection
        self._options = options

    def locate(self) -> Node:
        """Host and port of the primary.

        Raises:
            redis.ConnectionError: nobody answers, or nobody knows now.
            redis.RedisError: a node refuses to tell; Misconfigured where all have never heard of it.
        """
        faults: list[Exception] = []
        for node in self._nodes:
            try:
                return self._primary_by(node)
            except (redis.AuthenticationError, redis.exceptions.AuthorizationError):
                raise
            except (redis.ConnectionError, redis.TimeoutError) as error:
                faults.append(error)
            self.doubt()
        raise self._in_vain(faults) from faults[-1]

    def doubt(self) -> None:
        """What the first node knows led nowhere, as it may be cut off from the others: ask the next one first."""
        first, *others = self._nodes
        self._nodes = (*others, first)

    @abstractmethod
    def _primary_by(self, node: Node) -> Node:
        """What this node holds for the primary; redis.ConnectionError where it knows of none."""

    def _in_vain(self, faults: list[Exception]) -> Exception:
        return redis.ConnectionError("; ".join(dict.fromkeys(map(str, faults))))

    def _ask(self, node: Node, *command: str) -> Any:
        connection = self._connection_class(host=node[0], port=node[1], **self._options)
        try:
            connection.connect()  # type: ignore[no-untyped-call]
            connection.send_command(*command)  # type: ignore[no-untyped-call]
            return connection.read_response()
        finally:
            connection.disconnect()  # type: ignore[no-untyped-call]


class _Unknown(redis.ConnectionError):
    """A Sentinel that watches no such service."""


class SentinelLocator(Locator):
    """Asks Sentinels for the primary of a service."""

    def __init__(self, service: str, nodes: tuple[Node, ...], tls: bool, options: dict[str, Any]) -> None:
        super().__init__(nodes, tls, options)
        self._service = service

    def _primary_by(self, node: Node) -> Node:
        found = self._ask(node, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        if found is None:
            raise _Unknown(f"the Sentinel at {node[0]}:{node[1]} watches no service {self._service!r}")
        return found[0].decode(), int(found[1])

    def _in_vain(self, faults: list[Exception]) -> Exception:
        if all(isinstance(fault, _Unknown) for fault in faults):
            return Misconfigured(f"redis.url: none of the Sentinels watches a service called {self._service!r}")
        return super()._in_vain(faults)


class ClusterLocator(Locator):
    """Asks a Cluster's nodes for the primary of the slot in which all keys of a line are."""

    def __init__(self, key: str, nodes: tuple[Node, ...], tls: bool, options: dict[str, Any]) -> None:
        super().__init__(nodes, tls, options)
        self._slot = key_slot(key.encode())
        self._start_nodes = nodes

    def _primary_by(self, node: Node) -> Node:
        ranges = self._ask(node, "CLUSTER", "SLOTS")
        # The start nodes may all be gone one day: those that they told of are asked too.
        told = [self._address(one, node) for _, _, *servers in ranges for one in servers]
        self._nodes = tuple(dict.fromkeys((node, *self._start_nodes, *told)))
        for first, last, primary, *_ in ranges:
            if first <= self._slot <= last:
                return self._address(primary, node)
        raise redis.ConnectionError(f"the Cluster node {node[0]}:{node[1]} knows of no server for slot {self._slot}")

    @staticmethod
    def _address(server: list[Any], asked: Node) -> Node:
        """A node that does not know how it is reached says so with an empty host: then at the host just asked."""
        return (server[0].decode() if server[0] else asked[0]), int(server[1])


class LocatedConnection(Connection):
    """A connection that goes wherever the primary is at the moment when it is made."""

    def __init__(self, *, locator: Locator, **options: Any) -> None:
        self._locator = locator
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def _connect(self) -> socket.socket:
        self.host, self.port = self._locator.locate()
        try:
            return super()._connect()  # type: ignore[no-any-return, no-untyped-call]
        except OSError:
            self._locator.doubt()
            raise


class LocatedSSLConnection(LocatedConnection, SSLConnection):
    """The same over TLS."""
