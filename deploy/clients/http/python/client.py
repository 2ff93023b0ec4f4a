"""Ask line-worker about one picture: python client.py URL IMAGE OUTPUT

URL is like http://127.0.0.1:8080/image-anomaly-detection. Exit code: 0 OK, 1 NG, 2 anything else, so that a part
passes only where the service said OK. LINE_API_KEY in the environment is sent where the service asks for keys.
"""

import base64
import os
import sys
import time
from pathlib import Path

import httpx

TRIES = 5
LONGEST_WAIT_S = 30


def ask(url: str, image: bytes) -> dict:
    """What the service says of a picture: the field `result` of its answer."""
    key = os.environ.get("LINE_API_KEY")
    request = {"image": base64.b64encode(image).decode(), "visualize": True}
    for attempt in range(1, TRIES + 1):
        response = httpx.post(url, json=request, headers={"X-API-Key": key} if key else {}, timeout=60)
        after = response.headers.get("Retry-After", "")  # the line is full, or not ready yet
        if not after.isdecimal() or attempt == TRIES:
            break
        time.sleep(min(int(after), LONGEST_WAIT_S))
    try:
        answer = response.json()
    except ValueError:  # not from the service: a proxy, another program
        answer = {}
    if response.status_code != 200 or answer.get("errorCode") != 0:
        raise RuntimeError(f"{response.status_code}: {answer.get('errorMsg', response.text[:200])}")
    return answer["result"]


def main(url: str, image: str, output: str) -> int:
    """The exit code."""
    result = ask(url, Path(image).read_bytes())
    height, width = result["size"] or (0, 0)
    label_map = result["labelMap"] or []  # row by row: 255 is an anomaly, 0 is none
    if len(label_map) != height * width:
        raise RuntimeError(f"{len(label_map)} values in a labelMap of {height} x {width}")
    anomalous = sum(value != 0 for value in label_map)
    if result["image"]:
        Path(output).write_bytes(base64.b64decode(result["image"]))
    print(f"{result['verdict']}: score {result['score']}, threshold {result['threshold']}", end=", ")
    print(f"size {height} x {width}, {anomalous} anomalous pixels")
    return {"OK": 0, "NG": 1}.get(result["verdict"], 2)  # INVALID and LATE: nobody knows


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(print(__doc__, file=sys.stderr) or 2)
    try:
        sys.exit(main(*sys.argv[1:]))
    except Exception as error:  # whatever it was: not OK
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
