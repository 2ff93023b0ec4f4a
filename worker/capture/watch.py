"""A folder into which pictures come: each is published once, when it is whole, in order of time, over restarts too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from worker.capture.context import Context
from worker.capture.files import image_paths, natural_key, read_picture
from worker.capture.outage import Outage
from worker.capture.published import Published, Stamp
from worker.capture.source import Picture
from worker.errors import SourceError

_LOOK_EVERY_S = 0.5
_SETTLED_S = 1.0
_SHARE = 4  # a look that takes long (many files, a slow network) is followed by a pause so many times as long


class _Sighting(NamedTuple):
    stamp: Stamp
    since: float


class WatchedFolder:
    """Looks into the folder, and all below it, again and again.

    A picture is whole once its size and time have stayed the same for a second and it is not empty. Who writes more
    slowly writes under a hidden name or another suffix, and renames. A file that is written anew is a new picture. The
    folder is looked at by listing it, which also works where changes are not announced: on network shares.

    Whether a picture was published is kept in `published`. A folder that goes away is waited for, unless `waits` is
    False: then it ends the iteration with SourceError.
    """

    def __init__(self, folder: Path, published: Published, waits: bool, context: Context) -> None:
        self._folder, self._published, self._waits, self._context = folder, published, waits, context
        self._outage = Outage("folder", "outages", context)
        self._sightings: dict[str, _Sighting] = {}
        self._passed_over: dict[str, Stamp] = {}
        self._begun = False

    def __iter__(self) -> Iterator[Picture]:
        context = self._context
        while not context.stop.is_set():
            began = context.clock.monotonic()
            for path, stamp in self._whole():
                if context.stop.is_set():
                    return
                picture = read_picture(Path(path), context)
                if picture is None:
                    self._passed_over[path] = stamp
                else:
                    yield replace(picture, settled=partial(self._published.add, path, stamp))
            took_s = context.clock.monotonic() - began
            context.clock.wait(max(_LOOK_EVERY_S, min(_SHARE * took_s, 60.0)), context.stop)

    def close(self) -> None:
        """Let go of the list of what was published."""
        self._published.close()

    def _whole(self) -> list[tuple[str, Stamp]]:
        """The new pictures that are whole, the oldest first."""
        now = self._context.clock.monotonic()
        found = self._new_files()
        self._sightings = {path: self._sighting(path, stamp, now) for path, stamp in found.items()}
        whole = [
            (path, stamp)
            for path, (stamp, since) in self._sightings.items()
            if stamp.size and now - since >= _SETTLED_S
        ]
        return sorted(whole, key=lambda item: (item[1].changed_at, natural_key(Path(item[0]))))

    def _sighting(self, path: str, stamp: Stamp, now: float) -> _Sighting:
        last = self._sightings.get(path)
        return last if last is not None and last.stamp == stamp else _Sighting(stamp, now)

    def _new_files(self) -> dict[str, Stamp]:
        try:
            stamps = {path: stamp for path in image_paths(self._folder) if (stamp := _stamp(path))}
        except SourceError as error:
            if not self._waits:
                raise
            self._outage.begin(error)
            return {}
        self._outage.end()
        if stamps and not self._begun:  # an empty folder may be one that is not mounted yet
            self._begun = True
            self._published.forget_all_but(set(stamps))
        return {
            path: stamp
            for path, stamp in stamps.items()
            if (path, stamp) not in self._published and self._passed_over.get(path) != stamp
        }


def _stamp(path: str) -> Stamp | None:
    """None where the file went away meanwhile."""
    try:
        status = os.stat(path)  # noqa: PTH116 (of very many files)
    except OSError:
        return None
    return Stamp(status.st_mtime_ns, status.st_size)
