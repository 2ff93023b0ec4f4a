"""The service is fuzzed by its own OpenAPI document: never a 500, never an answer that the document does not have.

For longer, against a service that runs, see schemathesis.toml beside this file.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from .service import Service

SECONDS = 20

pytestmark = pytest.mark.skipif(find_spec("schemathesis") is None, reason="schemathesis is not installed")


@pytest.mark.slow
def test_no_answer_is_other_than_the_document_says(service: Service, alerts: None, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    options = ["--max-time", str(SECONDS), "--continue-on-failure", "--no-color", "--seed", "7"]
    document = f"http://127.0.0.1:{service.port}/openapi.json"
    command = [program, "--config-file", Path(__file__).with_name("schemathesis.toml"), "run", document, *options]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=150)

    assert done.returncode == 0, done.stdout[-5_000:]
    assert "Tested: 9" in done.stdout, done.stdout[-3_000:]
