"""Receive a line's alerts by webhook, and take only what is signed with the secret (Standard Webhooks); needs nothing:

    python webhook.py --secret-file secret --port 8090

The line posts to it with LINE_ALERTS__WEBHOOK__URL=http://this-host:8090/alerts and the same secret in
LINE_ALERTS__WEBHOOK__SECRET_FILE. Make one: echo "whsec_$(openssl rand -base64 32)" > secret
"""

import argparse
import base64
import hashlib
import hmac
import json
import sys
import time
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MAX_BYTES = 1_000_000
MAX_AGE_S = 300  # an older POST is somebody's recording
KEYS_KEPT = 10_000


def read_secret(path: Path) -> bytes:
    """As line-worker reads it: whsec_ and Base64, or the secret as it stands."""
    text = path.read_text().strip()
    return base64.b64decode(text.removeprefix("whsec_")) if text.startswith("whsec_") else text.encode()


def is_genuine(headers: dict[str, str], body: bytes, secret: bytes, now: float) -> bool:
    """Whether the body comes from who knows the secret, and comes now. `headers` have lower-case names."""
    key, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > MAX_AGE_S:
        return False
    digest = hmac.digest(secret, f"{key}.{timestamp}.".encode() + body, hashlib.sha256)
    right = b"v1," + base64.b64encode(digest)
    # There are several where a secret is being replaced; compared in a time that says nothing of where they differ.
    return any(hmac.compare_digest(right, given.encode()) for given in headers.get("webhook-signature", "").split())


taken: OrderedDict[str, None] = OrderedDict()  # whoever must not take one twice keeps the keys where its work is


class Handler(BaseHTTPRequestHandler):
    """Answers 204 for what it has taken, and for what it took before."""

    secret = b""
    timeout = 30

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BYTES:
            self.answer(413)
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not is_genuine(headers, body, self.secret, time.time()):
            self.answer(401)
            return
        key = headers["webhook-id"]
        if key not in taken:  # the same message may come twice, then with the same key
            message = json.loads(body)
            try:
                for alert in message.get("alerts", [message]):  # several in a storm
                    handle(alert)
            except Exception as error:
                print(f"error: {error}", file=sys.stderr)
                self.answer(500)
                return
            taken[key] = None
            if len(taken) > KEYS_KEPT:
                taken.popitem(last=False)
        self.answer(204)

    def answer(self, status: int) -> None:
        """Without a body."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def handle(alert: dict[str, object]) -> None:
    """Your part; an exception here is a 500, and the alert comes again."""
    print(alert["alert_id"], alert["state"], alert["message"], flush=True)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--secret-file", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    options = parser.parse_args()
    try:
        Handler.secret = read_secret(options.secret_file)
        ThreadingHTTPServer((options.host, options.port), Handler).serve_forever()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
