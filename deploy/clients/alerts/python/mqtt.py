"""Follow a line's alerts by MQTT with paho-mqtt 2:

    python mqtt.py mqtts://user@broker.example --password-file password --line line1

Prints each alert, and what each camera's lamp should show. The broker keeps for it what comes while it is away, as long
as it comes back within a day under the same --client-id.
"""

import argparse
import json
import socket
import ssl
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

KEPT_S = 86_400
SEEN_AT_MOST = 10_000

seen: dict[str, None] = {}


def take(_client: Client, base: str, message: MQTTMessage) -> None:
    """One message. It is acknowledged when this returns."""
    topic = message.topic.removeprefix(base)
    if topic == "/status":
        print("line", message.payload.decode(), flush=True)  # offline: no state is true any more
        return
    told = json.loads(message.payload)
    if topic.endswith("/alert"):
        if told["id"] in seen:  # it may come twice
            return
        seen[told["id"]] = None
        if len(seen) > SEEN_AT_MOST:
            del seen[next(iter(seen))]
        print("alert", told["alert_id"], told["state"], told["message"], flush=True)
    elif topic.endswith("/state"):
        print("lamp", told["camera"] or "line", told["severity"] or "ok", flush=True)


def main() -> None:
    """Read the command line, connect and follow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="mqtt://user@host:1883 or mqtts://user@host:8883")
    parser.add_argument("--password-file", type=Path)
    parser.add_argument(
        "--ca-file", help="of the authority that the broker's certificate is from, where it is your own"
    )
    parser.add_argument("--topic", default="line-worker")
    parser.add_argument("--line", default="line1")
    parser.add_argument("--client-id", default=f"subscriber-{socket.gethostname()}")
    options = parser.parse_args()
    url, base = urlsplit(options.url), f"{options.topic}/{options.line}"

    client = Client(CallbackAPIVersion.VERSION2, client_id=options.client_id, protocol=MQTTv5, userdata=base)
    if url.username:
        password = options.password_file.read_text().rstrip("\r\n") if options.password_file else None
        client.username_pw_set(unquote(url.username), password)
    if url.scheme == "mqtts":
        client.tls_set_context(ssl.create_default_context(cafile=options.ca_file))
    client.on_connect = lambda client, *_: client.subscribe(f"{base}/#", qos=1)
    client.on_message = take
    keep = Properties(PacketTypes.CONNECT)
    keep.SessionExpiryInterval = KEPT_S
    try:
        port = url.port or (8883 if url.scheme == "mqtts" else 1883)
        client.connect(url.hostname or "", port, clean_start=False, properties=keep)
        client.loop_forever()
    except OSError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
