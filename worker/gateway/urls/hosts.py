"""The list of hosts that pictures may be fetched from."""

from __future__ import annotations

from collections.abc import Iterable

from worker.errors import SettingsError
from worker.gateway.urls.picture_url import PictureUrl, read_host


class AllowedHosts:
    """Hosts by name or address; `*.plant.example` is every name below plant.example, not that itself; `*` is any.

    An empty list allows none. `"…" in` it takes a PictureUrl.

    Raises:
        SettingsError: an entry could never be a host, as http://cdn or cdn:8080.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._any = False
        self._exact: set[str] = set()
        self._below: list[str] = []
        for entry in entries:
            self._add(entry)

    def __contains__(self, url: PictureUrl) -> bool:
        if self._any or url.host in self._exact:
            return True
        # A suffix is of names: *.1 must not match 10.0.0.1.
        return url.address is None and any(url.host.endswith(suffix) for suffix in self._below)

    def _add(self, entry: str) -> None:
        if entry == "*":
            self._any = True
            return
        name = entry.removeprefix("*.")
        # Here people write IPv6 without brackets too.
        bare_v6 = ":" in name and not name.startswith("[")
        try:
            host, address = read_host(f"[{name}]" if bare_v6 else name)
            if name != entry and address is not None:
                raise ValueError("a suffix of addresses")
        except ValueError:
            raise SettingsError(
                f"gateway.urls.allow: {entry!r} is no host: write cdn.example.com, *.plant.example, an address or *, "
                "without http:// and port"
            ) from None
        if name == entry:
            self._exact.add(host)
        else:
            self._below.append(f".{host}")
