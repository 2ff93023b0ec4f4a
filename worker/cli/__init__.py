"""The `line-worker` command. A subcommand is imported when it is called, its frameworks only in its body."""

from __future__ import annotations

from importlib import import_module

import click

from worker import __version__
from worker.cli.common import ErrorsWithExitCodes

COMMANDS = {
    "run": "worker.cli.run",
    "serve": "worker.cli.serve",
    "produce": "worker.cli.produce",
    "alerts": "worker.cli.alerts",
    "outbox": "worker.cli.outbox",
    "watch": "worker.cli.watch",
    "dead": "worker.cli.dead",
    "ledger": "worker.cli.ledger",
    "config": "worker.cli.config",
    "health": "worker.cli.health",
    "dataset": "worker.cli.dataset",
    "train": "worker.cli.train",
    "export": "worker.cli.export",
    "evaluate": "worker.cli.evaluate",
    "calibrate": "worker.cli.calibrate",
    "history": "worker.cli.history",
    "optimize": "worker.cli.optimize",
    "predict": "worker.cli.predict",
    "get-pipeline-config": "worker.cli.predict",
    "keys": "worker.cli.keys",
    "demo": "worker.cli.demo",
    "bench": "worker.cli.bench",
}


class LazyGroup(ErrorsWithExitCodes):
    """Finds a subcommand `name` as the function `name` of its module."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  line-worker demo                              everything on this machine, with generated parts
  line-worker run --model ./bundle --devices cpu:0,cpu:1
  line-worker produce ./photos --camera c1 --fps 5
  line-worker watch results""",
)
@click.version_option(__version__, prog_name="line-worker")
def main() -> None:
    """Streaming visual inspection: frames in over Redis, verdicts, labelMaps and alerts out."""
