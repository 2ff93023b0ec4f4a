"""Requests and answers as they look, for the OpenAPI document; tests send and compare them."""

from __future__ import annotations

from typing import Any

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEklEQVQI12NkEIIAJj4oII8BAIP6A55i1XbBAAAAAElFTkSuQmCC"
"""A PNG of 8×8 pixels."""

LOG_ID = "7f6b0c1e-4b57-4c0e-9a0f-2d6b3f6f6e2a"
FRAME = "1767225600000-0"

REQUESTS: dict[str, dict[str, Any]] = {
    "as PaddleX's": {
        "summary": "What clients of PaddleX's service send",
        "value": {"image": PICTURE, "visualize": False},
    },
    "all": {
        "summary": "A camera of its own, a verdict within a second, the labelMap as a PNG of the picture's size",
        "value": {
            "image": f"data:image/png;base64,{PICTURE}",
            "visualize": False,
            "camera": "left",
            "partId": "A-1042",
            "deadlineMs": 1000,
            "labelMapSize": "image",
            "labelMapEncoding": "png",
            "logId": LOG_ID,
        },
    },
}
URL_REQUESTS: dict[str, dict[str, Any]] = {
    "url": {
        "summary": "A picture that the service fetches from a host that gateway.urls.allow names",
        "value": {"image": "https://pictures.plant.example/part.jpg"},
    },
}

_REGION = {"x": 2, "y": 0, "w": 2, "h": 2, "area": 3, "score": 0.0183}
_NG = {"score": 0.0183, "threshold": 0.01, "verdict": "NG", "regions": [_REGION], "frame": FRAME}
_MAP_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAACCAAAAABawyK/AAAAEUlEQVQIHWNgYPj/nwEI/gMADfwC/pFynG8AAAAASUVORK5CYII="


def _verdict(**result: Any) -> dict[str, Any]:
    return {"logId": LOG_ID, "errorCode": 0, "errorMsg": "Success", "result": result}


ANSWERS: dict[str, dict[str, Any]] = {
    "OK": {
        "summary": "A good part; a real labelMap is as large as the model's input",
        "value": _verdict(
            labelMap=[0, 0, 0, 0, 0, 0, 0, 0],
            size=[2, 4],
            score=0.0021,
            threshold=0.01,
            verdict="OK",
            regions=[],
            frame=FRAME,
        ),
    },
    "NG": {
        "summary": "A defect at the top right",
        "value": _verdict(labelMap=[0, 0, 255, 255, 0, 0, 0, 255], size=[2, 4], **_NG),
    },
    "NG, png": {"summary": "The same as a PNG", "value": _verdict(labelMap=_MAP_PNG, size=[2, 4], **_NG)},
    "NG, rle": {
        "summary": "The same in runs",
        "value": _verdict(labelMap={"size": [2, 4], "counts": [4, 1, 1, 2]}, size=[2, 4], **_NG),
    },
}

HEALTHY = {"logId": LOG_ID, "errorCode": 0, "errorMsg": "Healthy"}
READY = {"logId": LOG_ID, "errorCode": 0, "errorMsg": "Ready", "result": {"workers": 2, "model": "tiles-v2"}}

FAILURES: dict[int, dict[str, str]] = {
    401: {"no key": "an API key is needed: send a key in the header X-API-Key, or in Authorization: Bearer"},
    403: {"unknown key": "the API key is not known here"},
    408: {"slow": "the request's body did not come within 30 s (gateway.timeout_s)"},
    413: {
        "bytes": "the request's body is larger than 49,278,702 bytes, which limits.max_bytes leads to",
        "pixels": "too_large: 20000×20000 pixels; limits.max_pixels is 50000000",
    },
    415: {
        "no image": "not_an_image: neither JPEG, PNG, WebP nor BMP; it begins with b'%PDF-1.7\\n'",
        "no JSON": "the body must be JSON, with Content-Type: application/json; it is 'text/plain'",
    },
    422: {
        "fields": "visualize: Input should be a valid boolean; camera: String should match pattern "
        "'^[A-Za-z0-9_.-]{1,64}$'",
        "no Base64": "image: is neither Base64 nor an http(s) URL: Incorrect padding",
        "invalid picture": f"INVALID: dark: brightness 0.01, at least 0.05 (frame {FRAME})",
        "damaged": f"damaged: Corrupt JPEG data: premature end (frame {FRAME} is kept as a dead letter)",
    },
    429: {
        "line full": "the line is full: its workers do not keep up with what comes; try again later",
        "waiting": "256 requests are waiting already (gateway.max_waiting)",
        "rate": "too many requests: gateway.rate_per_s and gateway.rate_burst limit them",
    },
    503: {
        "no worker": "no worker has been seen on the line 'line1' for 8 s: start `line-worker run`",
        "no Redis": "Redis cannot be reached: Connection refused. Is it running? See redis.url",
    },
    504: {
        "late": f"LATE: 12 ms past the deadline of 1000 ms; would be OK (frame {FRAME})",
        "none": f"there was no verdict within 1000 ms: frame {FRAME} waits or is in work, unless it was dropped from a "
        "full line or lost with Redis; what is said of it later is LATE",
    },
}
