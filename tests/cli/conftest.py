"""Running commands: in this process where that is the same, else as a process of their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from worker.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(redis_url: str) -> Run:
    """`run("ledger", "--json")` on an empty Redis and the line `test`."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env={"LINE_REDIS__URL": redis_url, "LINE_LINE": "test"})

    return invoke
