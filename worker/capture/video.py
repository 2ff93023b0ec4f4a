"""A video file, picture by picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2

from worker.capture.context import Context
from worker.capture.source import Picture
from worker.errors import SourceError


class VideoSource:
    """All pictures of a video file, as fast as they are asked for; opened at once, so that errors show early.

    Raises:
        SourceError: not a video that OpenCV (FFmpeg) can read, or one without pictures.
    """

    def __init__(self, path: Path, loop: bool, context: Context) -> None:
        self._path, self._loop, self._context = path, loop, context
        self._capture = self._open()

    def __iter__(self) -> Iterator[Picture]:
        while True:
            yield from self._play()
            self.close()
            if not self._loop or self._context.stop.is_set():
                return
            self._capture = self._open()

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise SourceError(f"file {self._path}: neither an image (by its suffix) nor a video that can be read")
        return capture

    def _play(self) -> Iterator[Picture]:
        number = 0
        while not self._context.stop.is_set():
            there, image = self._capture.read()
            if not there:
                break
            yield Picture(self._context.clock.time_ns(), f"{self._path.stem}-{number:06d}", image=image)
            number += 1
        else:
            return
        if not number:
            raise SourceError(f"video {self._path}: holds no picture that can be read")
        self._check_length(number)

    def _check_length(self, number: int) -> None:
        # A read that fails looks the same at the end and in a damaged file; the header only estimates.
        promised = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if number < 0.9 * promised:
            self._context.log.warning(
                "video ended early: it may be damaged",
                file=str(self._path),
                pictures=number,
                promised=promised,
            )
