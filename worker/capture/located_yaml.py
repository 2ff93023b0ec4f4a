"""A YAML file of which one can say in what line something stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from worker.errors import SettingsError

_MOST_BYTES = 2**20


class LocatedYaml:
    """The file's `content`, and the line of each place in it.

    Raises:
        SettingsError: it cannot be read, is no YAML, is larger than 1 MiB, or has a key twice.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            if file.stat().st_size > _MOST_BYTES:
                raise SettingsError(f"{file}: has more than {_MOST_BYTES} bytes")
            loader = yaml.SafeLoader(file.read_text("utf-8"))
            self._root = loader.get_single_node()
            self._check_keys()
            self.content: Any = loader.construct_document(self._root) if self._root else None
        except OSError as error:
            raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise SettingsError(f"{file}: is not YAML: {error}") from error

    def line(self, place: Sequence[str | int]) -> int:
        """The line of a place, as in ("cameras", 3, "fps"), or of what is there on the way to it."""
        line, node = 1, self._root
        for part in place:
            below = None
            if isinstance(node, yaml.MappingNode):
                below = next((pair for pair in node.value if pair[0].value == part), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                below = node.value[part], node.value[part]
            if below is None:
                break
            line, node = below[0].start_mark.line + 1, below[1]
        return line

    def _check_keys(self) -> None:
        # YAML's own loader takes the last one without a word.
        if twice := list(_repeated_keys(self._root, set())):
            raise SettingsError(
                "\n".join(f"{self._file}, line {key.start_mark.line + 1}: {key.value} is there twice" for key in twice)
            )


def _repeated_keys(node: yaml.Node | None, looked_at: set[int]) -> Iterator[yaml.ScalarNode]:
    if id(node) in looked_at:  # an alias of what was there before
        return
    looked_at.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item, looked_at)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    yield key
                seen.add(key.value)
            yield from _repeated_keys(value, looked_at)
