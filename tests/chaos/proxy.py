"""A TCP proxy that can go half-open: `python proxy.py PORT UPSTREAM_PORT`.

SIGUSR1: what is connected, and whoever connects from now on, is swallowed: bytes are taken and go nowhere, and nobody
is told. SIGUSR2: new connections pass again; a swallowed one stays so until its client gives up, as after a network's
fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

CHUNK = 2**18


class Proxy:
    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._swallowing = False
        self._lost: list[asyncio.StreamWriter] = []
        self._epoch = 0  # a connection made before the last SIGUSR1 is lost for good

    def swallow(self) -> None:
        self._swallowing = True
        self._epoch += 1

    def heal(self) -> None:
        self._swallowing = False

    async def serve(self, down_in: asyncio.StreamReader, down_out: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if self._swallowing:
                while await down_in.read(CHUNK):
                    pass
            else:
                up_in, up_out = await asyncio.open_connection("127.0.0.1", self._upstream_port)
                epoch = self._epoch
                await asyncio.gather(self._carry(down_in, up_out, epoch), self._carry(up_in, down_out, epoch))
        down_out.close()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, epoch: int) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                if epoch == self._epoch:
                    sink.write(data)
                    await sink.drain()
        if epoch == self._epoch:
            sink.close()
        else:  # the end of a lost connection does not come through either: the other side notices by itself, or never
            self._lost.append(sink)


async def main(port: int, upstream_port: int) -> None:
    proxy = Proxy(upstream_port)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, proxy.swallow)
    loop.add_signal_handler(signal.SIGUSR2, proxy.heal)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", port, limit=CHUNK)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
