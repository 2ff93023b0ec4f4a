"""Every error that line-worker raises on purpose.

LineError
├── SettingsError          a setting is unknown or has a value that is not allowed
├── DeviceError            a device string is wrong, or this machine has no such device
├── BundleError            a model folder is missing a file, was altered, or is not an STFPM export
├── EngineRefused          no engine and precision here agrees with paddle's fp32 on the golden frames
├── EngineError            the inference engine failed on a batch
├── SourceError            a camera or file cannot be opened or read
├── TrainingFailed         a fit came to nothing
├── TrainingStopped        a training was told to stop, and can go on
├── StreamError            something is wrong on the Redis side
│   └── StreamUnavailable  Redis cannot be reached or refuses work for now: wait and try again
├── NoSuchAlert            an alert that somebody names is not open, or a shelf is not there
├── OrderWaits             an order was given, and nobody has carried it out yet
├── CrashLoop              workers die again and again without finishing a frame
├── DeliveryError          the receiver of an alert did not take it
│   ├── UnreachableError   it takes none for now: it is away, or does not let us in
│   └── RefusedError       and never will take this one
├── UrlRefused             a picture that a request names by URL is not fetched; carries the HTTP `status` of the answer
└── FrameError             one frame cannot be inspected; carries the `reason` of its dead letter
    ├── FieldError         its fields are missing, unknown or malformed
    └── ImageError         its bytes are not an image that may be inspected

A message says what is wrong and what to do. `exit_code` is what the command line ends with.
"""

from __future__ import annotations


class LineError(Exception):
    """Base of all errors here; `exit_code` follows sysexits where one fits."""

    exit_code = 1


class SettingsError(LineError):
    """A setting is unknown or its value is not allowed; the message names it and what is allowed."""

    exit_code = 78  # EX_CONFIG: a restart cannot mend it


class DeviceError(LineError):
    """A device string cannot be parsed, or this machine has no such device."""

    exit_code = 78


class BundleError(LineError):
    """A model folder cannot be used: a file is missing, altered, or of another kind."""

    exit_code = 78


class EngineRefused(LineError):
    """No engine and precision that is allowed and installed here passed the parity gate."""

    exit_code = 78


class EngineError(LineError):
    """The inference engine failed on a batch."""

    exit_code = 70  # EX_SOFTWARE


class SourceError(LineError):
    """A camera, video or folder cannot be opened or read."""

    exit_code = 66  # EX_NOINPUT


class TrainingFailed(LineError):
    """A fit came to nothing, and would again: another recipe is needed."""

    exit_code = 1


class TrainingStopped(LineError):
    """A training was told to stop: the same call goes on where it was."""

    exit_code = 75  # EX_TEMPFAIL: try again


class StreamError(LineError):
    """Redis answered with something that retrying does not mend."""

    exit_code = 69  # EX_UNAVAILABLE


class StreamUnavailable(StreamError):
    """Redis cannot be reached, is loading, read-only or out of memory: wait and try again."""

    exit_code = 69


class NoSuchAlert(LineError):
    """An order would come to nothing: no such alert is open, or no such shelf is there; the message says which are."""


class OrderWaits(LineError):
    """An order was given and waits for the alert process."""

    exit_code = 75  # EX_TEMPFAIL: it is carried out when the process is there


class CrashLoop(LineError):
    """Workers died again and again without finishing a frame."""

    exit_code = 70


class DeliveryError(LineError):
    """The receiver did not take the alert."""


class UnreachableError(DeliveryError):
    """The receiver takes no alert for now, whichever: it is away, does not answer in time, or does not let us in."""


class RefusedError(DeliveryError):
    """The receiver understood this alert and will never take it: calling again cannot help."""


class UrlRefused(LineError):
    """A picture that a request names by its URL is not fetched; the message is for whoever made the request.

    `status` is the HTTP status that they get: 422 the URL may not be fetched or what answers there is no picture's
    host, 413 more bytes came than a frame may have, 504 it took too long.
    """

    exit_code = 69  # EX_UNAVAILABLE

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FrameError(LineError):
    """One frame cannot be inspected.

    `reason` is a short token of `[a-z_]`, stable enough to count and filter by; the message is for people.
    """

    exit_code = 65  # EX_DATAERR

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[FrameError], tuple[str, str]]:
        return type(self), (self.reason, str(self))


class FieldError(FrameError):
    """A frame's fields are missing, unknown or malformed."""


class ImageError(FrameError):
    """A frame's bytes are not an image that may be inspected."""
