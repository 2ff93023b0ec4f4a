"""All that knows Redis: keys, fields, publish, consume, commit, recover, dead letters, ledger."""
