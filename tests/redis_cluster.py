"""A Redis Cluster of real processes: three primaries, and a replica of the one that has a line's slot."""

from __future__ import annotations

from typing import Any

from ports import free_ports
from redis.crc import key_slot
from redis_servers import Server, ServerGroup, wait_for

SLOTS = 16384


class Cluster(ServerGroup):
    """`url` is the line's `redis.url`, with every node as a start node."""

    def __init__(self, line: str = "test", node_timeout_ms: int = 1_000) -> None:
        super().__init__("cluster")
        self._node_timeout_ms = node_timeout_ms
        self.slot = key_slot(f"{{{line}}}".encode())
        self.nodes = [self._node(port) for port in free_ports(4, below=55_536)]  # the bus is at 10,000 above
        self.url = self.url_of(*self.nodes)

    def url_of(self, *nodes: Server) -> str:
        """The URL with these start nodes."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"

    def all(self) -> list[Server]:
        """The nodes."""
        return self.nodes

    def start(self) -> None:
        """Start the nodes, deal the slots, and give the line's primary its replica."""
        for epoch, node in enumerate(self.nodes, start=1):
            node.start()
            self.do(node, "SET-CONFIG-EPOCH", epoch)
        self._deal_slots()
        for node in self.nodes[1:]:
            self.do(node, "MEET", "127.0.0.1", self.nodes[0].port)
        self.wait_until_agreed()
        self.do(self.nodes[3], "REPLICATE", self.id_of(self.owner()))
        self.wait_for_replica()

    def do(self, node: Server, command: str, *args: Any) -> Any:
        """`CLUSTER command …` at this node."""
        return node.client.execute_command(f"CLUSTER {command}", *args)

    def id_of(self, node: Server) -> str:
        """The name under which the others know it."""
        return str(self.do(node, "MYID").decode())

    def owner(self) -> Server:
        """The running node that serves the line's slot and thinks so itself."""
        found: list[Server] = []

        def knows() -> bool:
            found[:] = [node for node in self.nodes if node.running and self._serves(node)]
            return len(found) == 1

        wait_for(knows, "an owner of the line's slot")
        return found[0]

    def replica(self) -> Server:
        """The running node that is a replica."""
        return next(node for node in self.nodes if node.running and node.client.role()[0] == b"slave")

    def other(self) -> Server:
        """A primary that does not serve the line's slot."""
        owner = self.owner()
        return next(
            node for node in self.nodes if node.running and node is not owner and node.client.role()[0] == b"master"
        )

    def fail_over(self) -> Server:
        """Have the replica take over while all is well; returns the former owner, which becomes its replica."""
        old = self.owner()
        self.do(self.replica(), "FAILOVER")
        wait_for(lambda: self.owner() is not old and old.client.role()[0] == b"slave", "a failover")
        return old

    def wait_until_agreed(self) -> None:
        """Wait until all nodes know each other and all slots."""

        def agreed() -> bool:
            told = [self.do(node, "INFO") for node in self.nodes if node.running]
            return all(
                one["cluster_state"] == "ok" and int(one["cluster_known_nodes"]) == len(self.nodes) for one in told
            )

        wait_for(agreed, "a Cluster that agrees")

    def wait_for_replica(self) -> None:
        """Wait until the replica is in step, and all nodes know it for what it is, so that it can take over."""
        wait_for(lambda: self.replica().client.role()[3] == b"connected", "a replica in step")
        identity = self.id_of(self.replica())
        wait_for(lambda: all(self._calls_replica(node, identity) for node in self.nodes), "a known replica")

    def _calls_replica(self, node: Server, identity: str) -> bool:
        known = self.do(node, "NODES")
        return not node.running or any(identity == one["node_id"] and "slave" in one["flags"] for one in known.values())

    def _serves(self, node: Server) -> bool:
        mine = [one for one in self.do(node, "NODES").values() if "myself" in one["flags"]]
        return any(int(a) <= self.slot <= int(b[0] if b else a) for one in mine for a, *b in one["slots"])

    def _deal_slots(self) -> None:
        share = SLOTS // 3 + 1
        for number, node in enumerate(self.nodes[:3]):
            self.do(node, "ADDSLOTS", *range(number * share, min((number + 1) * share, SLOTS)))

    def _node(self, port: int) -> Server:
        folder = self._folder / f"node-{port}"
        return Server(
            folder, port, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
            "--repl-diskless-sync-delay", "0", "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
            "--cluster-node-timeout", str(self._node_timeout_ms),
        )  # fmt: skip
