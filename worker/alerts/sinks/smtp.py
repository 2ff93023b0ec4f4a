"""smtplib's connections to a server that may say anything, and as slowly as it likes."""

from __future__ import annotations

import smtplib
import socket
import threading
from contextlib import suppress
from typing import IO

_ANSWERS_AT_MOST = 1_000_000
"""Bytes of all answers of one connection: an answer that never ended would fill the memory."""


class _Answers:
    """What the server says, in whole lines. Behind so much of it the connection is taken to be over."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _ANSWERS_AT_MOST

    def readline(self, size: int) -> bytes:
        line = self._file.readline(min(size, self._left))
        self._left -= len(line)
        return line if line.endswith(b"\n") else b""  # smtplib would take the beginning of an answer for one

    def close(self) -> None:
        self._file.close()


class Smtp(smtplib.SMTP):
    """An answer is waited for `timeout` seconds as a whole, where smtplib waits so long for each piece of it."""

    def getreply(self) -> tuple[int, bytes]:
        """The next answer.

        Raises:
            SMTPServerDisconnected: the server has closed the connection, or did not answer in time and within limits.
        """
        connection = self.sock
        if connection is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        if self.file is None:
            self.file = _Answers(connection.makefile("rb"))
        late = threading.Event()
        watch = threading.Timer(self.timeout, _hang_up, [connection, late])
        watch.daemon = True
        watch.start()
        try:
            return super().getreply()
        except smtplib.SMTPServerDisconnected:
            if late.is_set():
                raise smtplib.SMTPServerDisconnected(f"timed out: no whole answer within {self.timeout:g} s") from None
            raise
        finally:
            watch.cancel()


class SmtpTls(Smtp, smtplib.SMTP_SSL):
    """The same over TLS from the first byte."""


def _hang_up(connection: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):  # it is closed already
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not TLS' own, which would take part in what is read
