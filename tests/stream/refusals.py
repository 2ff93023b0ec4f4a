"""What each user of deploy/redis is refused: commands with the keys of the line `test`, by role."""

from __future__ import annotations

from typing import Any

from worker.stream.keys import LineKeys

Command = tuple[Any, ...]
Commands = list[Command]

KEYS = LineKeys("test")
FRAMES, RESULTS, ALERTS, DEAD, LEDGER = KEYS.frames, KEYS.results, KEYS.alerts, KEYS.dead, KEYS.ledger
SIZES, CAMERAS, HOLD, ALARM, REPLY = KEYS.sizes, KEYS.cameras, KEYS.hold, KEYS.alarm("c1"), KEYS.reply("t")
PUBLISHER, EVIDENCE = KEYS.publisher("other"), KEYS.evidence
ENTRY: Command = ("*", "camera", "c1", "data", "x")

# Nobody who works on a line needs these.
SERVER: Commands = [
    ("ACL", "LIST"), ("ACL", "SETUSER", "camera", "+@all"), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "maxmemory", "1"),
    ("DEBUG", "SLEEP", "0"), ("FLUSHALL",), ("FLUSHDB",), ("SHUTDOWN", "NOSAVE"), ("MODULE", "LIST"), ("KEYS", "*"),
    ("SCRIPT", "FLUSH"), ("SCRIPT", "KILL"), ("FUNCTION", "FLUSH"), ("FCALL", "f", "0"), ("MONITOR",),
    ("CLIENT", "LIST"), ("CLIENT", "KILL", "TYPE", "normal"), ("CLIENT", "PAUSE", "1"), ("REPLICAOF", "NO", "ONE"),
    ("SAVE",), ("BGREWRITEAOF",), ("SLOWLOG", "GET"), ("MEMORY", "USAGE", FRAMES), ("OBJECT", "ENCODING", FRAMES),
    ("DUMP", FRAMES), ("RENAME", FRAMES, "x"), ("COPY", FRAMES, "x"), ("SORT", FRAMES), ("RANDOMKEY",),
    ("SUBSCRIBE", "c"), ("PUBLISH", "c", "m"), ("SWAPDB", "0", "1"), ("SELECT", "1"),
    ("MIGRATE", "h", "1", "k", "0", "1"),
    ("SET", "anything", "1"), ("GET", "anything"), ("DEL", LEDGER),
    ("EXPIRE", LEDGER, "1"), ("EXPIRE", FRAMES, "1"),
    ("DEL", RESULTS), ("DEL", ALERTS), ("DEL", DEAD), ("XTRIM", FRAMES, "MAXLEN", "0"),
    ("XTRIM", RESULTS, "MAXLEN", "0"), ("XTRIM", ALERTS, "MAXLEN", "0"), ("XGROUP", "DESTROY", FRAMES, "inspect"),
    ("XGROUP", "DESTROY", RESULTS, "alerting"), ("XGROUP", "SETID", FRAMES, "inspect", "$"),
    ("XREAD", "STREAMS", FRAMES, "0"), ("XREVRANGE", FRAMES, "+", "-"),
]  # fmt: skip

# Of frames that wait or are in work.
TAKE: Commands = [
    ("XREADGROUP", "GROUP", "inspect", "w1", "STREAMS", FRAMES, ">"), ("XACK", FRAMES, "inspect", "1-1"),
    ("XCLAIM", FRAMES, "inspect", "me", "0", "1-1"), ("XAUTOCLAIM", FRAMES, "inspect", "me", "0", "0-0"),
    ("XGROUP", "CREATE", FRAMES, "mine", "0"), ("XGROUP", "DELCONSUMER", FRAMES, "inspect", "w1"),
    ("XSETID", FRAMES, "9-9"), ("DEL", FRAMES),
]  # fmt: skip
SEE: Commands = [("XRANGE", FRAMES, "-", "+")]
DELETE: Commands = [("XDEL", FRAMES, "1-1")]
PENDING: Commands = [("XPENDING", FRAMES, "inspect"), ("XINFO", "STREAM", FRAMES)]
CONSUMERS: Commands = [("XINFO", "CONSUMERS", FRAMES, "inspect")]
ADD: Commands = [("XADD", FRAMES, *ENTRY)]
# Of what comes out.
WRITE: Commands = [
    ("XADD", RESULTS, *ENTRY), ("XADD", DEAD, *ENTRY), ("XADD", REPLY, *ENTRY), ("HSET", ALARM, "state", "x"),
    ("SET", HOLD, "1"), ("SET", KEYS.dead_bytes, "1"), ("HSET", KEYS.settled, "floor", "9-9"),
]  # fmt: skip
WRITE_ALERTS: Commands = [("XADD", ALERTS, *ENTRY)]
BOOKS: Commands = [
    ("HSET", LEDGER, "produced", "0"), ("HDEL", LEDGER, "produced"), ("HSET", CAMERAS, "c1:verdict:OK", "1"),
    ("HDEL", CAMERAS, "c1:verdict:OK"),
]  # fmt: skip
COUNT: Commands = [
    ("HINCRBY", LEDGER, "produced", "1"), ("HINCRBY", CAMERAS, "c1:verdict:OK", "1"), ("HSET", SIZES, "1-1", "1"),
    ("HSET", PUBLISHER, "attempt", "1"),
]  # fmt: skip
FORGET: Commands = [("DEL", SIZES), ("HDEL", SIZES, "1-1"), ("DEL", PUBLISHER), ("HGETALL", PUBLISHER)]
READ: Commands = [
    ("XRANGE", RESULTS, "-", "+"), ("XREAD", "STREAMS", RESULTS, "0"), ("XRANGE", ALERTS, "-", "+"),
]  # fmt: skip
READ_DEAD: Commands = [("XRANGE", DEAD, "-", "+")]
READ_BOOKS: Commands = [("HGETALL", LEDGER), ("HGETALL", CAMERAS)]
READ_REPLY: Commands = [("XRANGE", REPLY, "-", "+"), ("XREAD", "STREAMS", REPLY, "0")]
OUTBOX = KEYS.outbox("log")
DELIVER: Commands = [
    ("XDEL", OUTBOX.waiting, "1-1"), ("HSET", OUTBOX.state, "in:1-1", "x"), ("HDEL", OUTBOX.state, "in:1-1"),
    ("SET", OUTBOX.lease, "me"), ("DEL", OUTBOX.lease), ("SADD", KEYS.outboxes, "x"), ("DEL", OUTBOX.waiting),
]  # fmt: skip
REPLAY: Commands = [("XADD", OUTBOX.waiting, *ENTRY), ("XDEL", OUTBOX.dead, "1-1")]
SEE_OUTBOX: Commands = [("XRANGE", OUTBOX.waiting, "-", "+"), ("XRANGE", OUTBOX.dead, "-", "+")]
SETTLE: Commands = [
    ("XREADGROUP", "GROUP", "alerting", "alerts", "STREAMS", RESULTS, ">"), ("XACK", RESULTS, "alerting", "1-1"),
    ("HGETALL", ALARM),
]  # fmt: skip
PURGE: Commands = [("XDEL", DEAD, "1-1")]
LOAD: Commands = [
    ("EVAL", "return 1", "0"), ("EVAL", "while true do end", "1", FRAMES), ("SCRIPT", "LOAD", "return 1"),
    ("FUNCTION", "LOAD", "x"), ("EVAL_RO", "return 1", "1", FRAMES),
]  # fmt: skip
NAMES: Commands = [("SCAN", "0")]
# Of the alert process: its states, and what it is ordered.
SEE_ALARMS: Commands = [("HMGET", ALARM, "version", "state")]
ORDER: Commands = [("XADD", KEYS.orders, "*", "order", "shelve", "by", "me")]
TAKE_ORDERS: Commands = [("XDEL", KEYS.orders, "1-1"), ("DEL", KEYS.orders), ("XTRIM", KEYS.orders, "MAXLEN", "0")]
INFO: Commands = [("INFO",)]
REPORT: Commands = [("HSET", EVIDENCE, "w1", "x"), ("HDEL", EVIDENCE, "w1"), ("EXPIRE", EVIDENCE, "1")]
READ_REPORTS: Commands = [("HGETALL", EVIDENCE)]

REFUSED: dict[str, Commands] = {
    "camera": [
        *DELIVER, *REPLAY, *SEE_OUTBOX,
        *REPORT, *READ_REPORTS,
        *TAKE, *SEE, *DELETE, *PENDING, *CONSUMERS, *WRITE, *WRITE_ALERTS, *BOOKS, *FORGET, *READ, *READ_DEAD,
        *READ_BOOKS, *READ_REPLY, *SETTLE, *PURGE, *LOAD, *NAMES, *INFO, *SEE_ALARMS, *ORDER, *TAKE_ORDERS,
    ],
    "camera-evict": [
        *DELIVER, *REPLAY, *SEE_OUTBOX,
        *REPORT, *READ_REPORTS,
        *TAKE, *CONSUMERS, *WRITE, *WRITE_ALERTS, *READ, *READ_DEAD, *READ_BOOKS, *READ_REPLY, *SETTLE, *PURGE, *LOAD,
        *NAMES, *INFO, *SEE_ALARMS, *ORDER, *TAKE_ORDERS, ("DEL", PUBLISHER), ("HDEL", LEDGER, "produced"),
    ],
    "worker": [
        *DELIVER, *REPLAY, *SEE_OUTBOX,
        *READ_REPORTS,
        *ADD, *WRITE_ALERTS, *READ, *READ_REPLY, *SETTLE, *NAMES, *SEE_ALARMS, *ORDER, *TAKE_ORDERS,
        ("HSET", ALARM, "state", "x"),
        ("HSET", SIZES, "1-1", "1"), ("HSET", PUBLISHER, "attempt", "1"), ("HDEL", LEDGER, "produced"),
        ("HSET", KEYS.settled, "floor", "9-9"),
    ],
    "alerts": [
        *REPORT,
        *TAKE, *ADD, *SEE, *DELETE, *PENDING, *BOOKS, *COUNT, *FORGET, *READ, *READ_DEAD, *READ_BOOKS, *READ_REPLY,
        *PURGE, *INFO, *ORDER, ("XADD", RESULTS, *ENTRY), ("XADD", DEAD, *ENTRY), ("SET", HOLD, "1"),
        ("XDEL", RESULTS, "1-1"),
    ],
    "gateway": [
        *DELIVER, *REPLAY, *SEE_OUTBOX,
        *REPORT, *READ_REPORTS,
        *TAKE, *SEE, *DELETE, *WRITE, *WRITE_ALERTS, *BOOKS, *FORGET, *READ_DEAD, *SETTLE, *PURGE, *LOAD,
        *INFO, *TAKE_ORDERS,
    ],
    "viewer": [
        *DELIVER, *REPLAY,
        *REPORT, *READ_REPORTS,
        *TAKE, *SEE, *DELETE, *CONSUMERS, *ADD, *WRITE, *WRITE_ALERTS, *BOOKS, *COUNT, *FORGET, *READ_REPLY, *SETTLE,
        *PURGE, *LOAD, *INFO, *ORDER, *TAKE_ORDERS,
    ],
    "operator": [
        *DELIVER,
        *REPORT, *READ_REPORTS,
        *TAKE, *SEE, *DELETE, *CONSUMERS, *WRITE_ALERTS, *BOOKS, *FORGET, *READ_REPLY, *SETTLE, *INFO,
        *TAKE_ORDERS, ("XADD", RESULTS, *ENTRY), ("HINCRBY", CAMERAS, "c1:verdict:OK", "1"),
        ("SCRIPT", "LOAD", "return 1"),
    ],
}  # fmt: skip
