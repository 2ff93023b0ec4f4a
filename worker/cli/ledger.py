"""`line-worker ledger`: the books of a line."""

from __future__ import annotations

import json

import click

from worker.cli.common import settings_options
from worker.settings import Settings


@click.command(
    epilog="""\b
Examples:
  line-worker ledger                    the books, for people
  line-worker ledger --json             the same for programs
  line-worker ledger --json | jq .ledger_difference
  line-worker ledger --json | jq '.cameras.c1'       what became of one camera's frames
  until line-worker ledger --json | jq -e '.backlog == 0'; do sleep 1; done    wait until all are done"""
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@settings_options()
def ledger(settings: Settings, as_json: bool) -> None:
    """Show what came in, what became of it, and whether the two agree. Exits with 1 where they do not."""
    from worker.stream.connection import connect
    from worker.stream.keys import LineKeys
    from worker.stream.ledger import read_ledger

    books = read_ledger(connect(settings), LineKeys(settings.line))
    if as_json:
        click.echo(json.dumps(books.as_dict()))
    else:
        lines = [("produced", books.produced)]
        lines += [(f"  {verdict}", count) for verdict, count in books.verdicts.items()]
        lines += [("  dead", books.dead)]
        lines += [(f"  dropped: {reason}", count) for reason, count in books.dropped.items()]
        lines += [("  backlog", books.backlog), ("    in work", books.pending), ("difference", books.difference)]
        for name, count in lines:
            click.echo(f"{name:<28}{count:>12,}")
        if books.uncounted:
            click.echo(f"({books.uncounted} in the backlog are counted when they are committed)")
    if books.difference:
        raise SystemExit(1)
