"""A small RTSP server for tests: RTP/JPEG (RFC 2435) over the RTSP connection (RFC 2326, interleaved).

Picture n is plain grey of level `10 * (n % 20)`, n counted over the server's life, so that a test can tell
which picture it got. Run as `python rtsp_server.py PORT [PASSWORD]`; it says `ready` and serves until killed.
With a password, user `admin` must give it (Basic, RFC 7617).
"""

from __future__ import annotations

import base64
import itertools
import socketserver
import struct
import sys
import time

import cv2
import numpy as np

WIDTH, HEIGHT, FPS = 160, 120, 25
PICTURES = itertools.count()
_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 26\r\na=control:track1\r\n"
)


def make_jpeg(level: int) -> tuple[bytes, bytes]:
    """Quantization tables (2 × 64 bytes) and entropy-coded scan of a plain baseline 4:2:0 JPEG."""
    image = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    tables, at = b"", 2
    while data[at + 1] != 0xDA:  # segments up to the start of scan
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xDB:
            segment = data[at + 4 : at + 2 + length]
            tables += b"".join(segment[i + 1 : i + 65] for i in range(0, len(segment), 65))
        at += 2 + length
    at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return tables, data[at:-2]


def make_packets(number: int, sequence: int) -> list[bytes]:
    """RTP packets of one picture: RTP header, JPEG header, in the first one the quantization tables."""
    tables, scan = make_jpeg(10 * (number % 20))
    packets, offset = [], 0
    while offset < len(scan):
        head = struct.pack(">I", offset) + bytes([1, 255, WIDTH // 8, HEIGHT // 8])  # 4:2:0, own tables
        if offset == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        piece = scan[offset : offset + 1200]
        offset += len(piece)
        marker = 0x80 if offset >= len(scan) else 0
        stamp = number * 90_000 // FPS & 0xFFFFFFFF
        rtp = struct.pack(">BBHII", 0x80, marker | 26, (sequence + len(packets)) & 0xFFFF, stamp, 0x1234)
        packets.append(rtp + head + piece)
    return packets


class Session(socketserver.StreamRequestHandler):
    """One client: answers its requests, then plays until it hangs up."""

    password = ""

    def handle(self) -> None:
        while request := self._read_request():
            method, url, fields = request
            extra, body = "", ""
            if self.password and fields.get("authorization") != self._expected():
                self._answer("401 Unauthorized", fields, 'WWW-Authenticate: Basic realm="test"\r\n')
                continue
            if method == "OPTIONS":
                extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                extra, body = f"Content-Base: {url}/\r\nContent-Type: application/sdp\r\n", _SDP
            elif method == "SETUP" and "TCP" not in fields["transport"]:
                self._answer("461 Unsupported Transport", fields)
                continue
            elif method == "SETUP":
                extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            self._answer("200 OK", fields, extra + "Session: 1\r\n", body)
            if method == "PLAY":
                self._play()
                return

    def _expected(self) -> str:
        return "Basic " + base64.b64encode(f"admin:{self.password}".encode()).decode()

    def _read_request(self) -> tuple[str, str, dict[str, str]] | None:
        first = self.rfile.readline().decode().split()
        fields = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return (first[0], first[1], fields) if first else None

    def _answer(self, status: str, fields: dict[str, str], extra: str = "", body: str = "") -> None:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.wfile.write(f"RTSP/1.0 {status}\r\nCSeq: {fields['cseq']}\r\n{extra}{length}\r\n{body}".encode())

    def _play(self) -> None:
        sequence = 0
        try:
            for number in PICTURES:
                packets = make_packets(number, sequence)
                sequence += len(packets)
                for packet in packets:
                    self.wfile.write(b"$\0" + struct.pack(">H", len(packet)) + packet)
                time.sleep(1 / FPS)
        except OSError:
            pass  # the client hung up


class Server(socketserver.ThreadingTCPServer):
    """Serves every client in a thread; the port can be taken again at once after a kill."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    Session.password = sys.argv[2] if len(sys.argv) > 2 else ""
    with Server(("127.0.0.1", int(sys.argv[1])), Session) as server:
        print("ready", server.server_address[1], flush=True)
        server.serve_forever()
