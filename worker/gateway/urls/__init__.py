"""Pictures by URL, without becoming a way into the plant's network: parsed, allowed, resolved once, checked, pinned."""
