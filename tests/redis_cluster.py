"""Redis Clusters of real processes: three primaries, with a replica of the one that has a line's slot, or of each."""

from __future__ import annotations

from collections import Counter
from itertools import count, islice
from typing import Any

from ports import free_ports
from redis.crc import key_slot
from redis_servers import Server, ServerGroup, wait_for

SLOTS = 16384


class Cluster(ServerGroup):
    """`url` is the line's `redis.url`, with every node as a start node."""

    def __init__(self, line: str = "test", node_timeout_ms: int = 1_000, nodes: int = 4, *options: str) -> None:
        super().__init__("cluster")
        self._options = ("--cluster-node-timeout", str(node_timeout_ms), *options)
        self.slot = slot_of(line)
        self.nodes = [self._node(port) for port in free_ports(nodes, second_at=10_000)]  # the bus
        self.url = self.url_of(*self.nodes)

    def url_of(self, *nodes: Server) -> str:
        """The URL with these start nodes."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"

    def all(self) -> list[Server]:
        """The nodes."""
        return self.nodes

    def start(self) -> None:
        """Start the nodes, deal the slots, and give the line's primary its replica."""
        self._meet()
        self.do(self.nodes[3], "REPLICATE", self.id_of(self.owner()))
        self.wait_for_replica()

    def _meet(self) -> None:
        """Start the nodes, and have the first three share the slots."""
        for epoch, node in enumerate(self.nodes, start=1):
            node.start()
            self.do(node, "SET-CONFIG-EPOCH", epoch)
        self._deal_slots()
        for node in self.nodes[1:]:
            self.do(node, "MEET", "127.0.0.1", self.nodes[0].port)
        self.wait_until_agreed()

    def do(self, node: Server, command: str, *args: Any) -> Any:
        """`CLUSTER command …` at this node."""
        return node.client.execute_command(f"CLUSTER {command}", *args)

    def id_of(self, node: Server) -> str:
        """The name under which the others know it."""
        return str(self.do(node, "MYID").decode())

    def owner(self, slot: int | None = None) -> Server:
        """The running node that serves the line's slot, or this one, and thinks so itself."""
        found: list[Server] = []
        wanted = self.slot if slot is None else slot

        def knows() -> bool:
            found[:] = [node for node in self.nodes if node.running and self._serves(node, wanted)]
            return len(found) == 1

        wait_for(knows, f"an owner of the slot {wanted}")
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

    def _serves(self, node: Server, slot: int) -> bool:
        mine = [one for one in self.do(node, "NODES").values() if "myself" in one["flags"]]
        return any(int(a) <= slot <= int(b[0] if b else a) for one in mine for a, *b in one["slots"])

    def _deal_slots(self) -> None:
        share = SLOTS // 3 + 1
        for number, node in enumerate(self.nodes[:3]):
            self.do(node, "ADDSLOTS", *range(number * share, min((number + 1) * share, SLOTS)))

    def _node(self, port: int) -> Server:
        folder = self._folder / f"node-{port}"
        return Server(
            folder, port, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
            "--repl-diskless-sync-delay", "0", "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
            *self._options,
        )  # fmt: skip


class ReplicatedCluster(Cluster):
    """Three primaries with as many replicas each, for three lines on a shard of their own: `lines`."""

    def __init__(self, node_timeout_ms: int = 1_000, *options: str, replicas: int = 1) -> None:
        super().__init__("line1", node_timeout_ms, 3 + 3 * replicas, *options)
        self._replicas = replicas
        self.lines = [names_on(share, 1)[0] for share in range(3)]

    def start(self) -> None:
        """Start the nodes, deal the slots, and give each primary its replicas."""
        self._meet()
        for number, replica in enumerate(self.nodes[3:]):
            self.do(replica, "REPLICATE", self.id_of(self.nodes[number % 3]))
        self.wait_until_replicated()

    def primary_of(self, line: str) -> Server:
        """The running node that serves this line."""
        return self.owner(slot_of(line))

    def replica_of(self, primary: Server) -> Server:
        """A running node that follows this one."""
        return next(
            node for node in self.nodes if (role := node.client.role())[0] == b"slave" and role[2] == primary.port
        )

    def revive(self, node: Server) -> None:
        """Start a killed node again, and wait until it follows whoever has taken its place."""
        node.start()
        self.wait_until_replicated()

    def wait_until_replicated(self) -> None:
        """Wait until each primary has its replicas in step, and all nodes agree on who is who."""

        def replicated() -> bool:
            roles = [node.client.role() for node in self.nodes]
            in_step = Counter(int(role[2]) for role in roles if role[0] == b"slave" and role[3] == b"connected")
            told = [self.do(node, "NODES").values() for node in self.nodes]
            known = [sum("slave" in one["flags"] and "fail" not in one["flags"] for one in nodes) for nodes in told]
            primaries = {node.port for node, role in zip(self.nodes, roles, strict=True) if role[0] == b"master"}
            return in_step == dict.fromkeys(primaries, self._replicas) and set(known) == {3 * self._replicas}

        wait_for(replicated, "replicas in step for each primary")
        self.wait_until_agreed()


def slot_of(line: str) -> int:
    """The slot in which all keys of a line are: `CLUSTER KEYSLOT {line}`."""
    return key_slot(f"{{{line}}}".encode())


def share_of(slot: int) -> int:
    """Which of the three primaries is dealt this slot."""
    return slot // (SLOTS // 3 + 1)


def names_on(share: int, how_many: int) -> list[str]:
    """The first names of the form lineN whose slots are dealt to this one of the three primaries."""
    return list(islice((name for name in map("line{}".format, count(1)) if share_of(slot_of(name)) == share), how_many))
