"""A Prometheus server of the tests' own, asked over its HTTP API."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml
from ports import free_port

_START_TIMEOUT_S = 30.0


class Prometheus:
    """Scrapes each target (job name → port) every second; a context manager.

    `rules` are files of rules, `alertmanager` the port of the one that hears of alerts.
    """

    def __init__(
        self,
        executable: str,
        folder: Path,
        targets: dict[str, int],
        rules: Sequence[Path] = (),
        alertmanager: int | None = None,
    ) -> None:
        told = [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}] if alertmanager else []
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(file) for file in rules],
            "alerting": {"alertmanagers": told},
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                for job, port in targets.items()
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._log = folder / "prometheus.log"
        self._targets = targets
        port = free_port()
        command = [executable, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stderr=log)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

    def __enter__(self) -> Prometheus:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"prometheus did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._process.terminate()
        self._process.wait(30)

    def query(self, expression: str) -> dict[tuple[str, ...], float]:
        """The values as of now, by the values of their labels in the order of the labels' names."""
        found = self._get("/api/v1/query", query=expression)["result"]
        return {
            tuple(value for _, value in sorted(sample["metric"].items())): float(sample["value"][1]) for sample in found
        }

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values that a label has in the series of a selector."""
        values: list[str] = self._get(f"/api/v1/label/{label}/values", **{"match[]": selector})
        return values

    def rules(self) -> list[dict[str, Any]]:
        """The rules with their state, as Prometheus shows them."""
        return [rule for group in self._get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def names(self) -> set[str]:
        """Every series that was ever scraped."""
        return set(self._get("/api/v1/label/__name__/values"))

    def has_scraped_all_since(self, unix_s: float) -> bool:
        """Whether each target answered a scrape that began after this time."""
        up, begun = self.query("up"), self.query("timestamp(up)")
        return len(begun) == len(self._targets) and min(up.values()) == 1 and min(begun.values()) > unix_s

    def _is_ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def _get(self, path: str, **parameters: str) -> Any:
        answer = self._http.get(path, params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]
