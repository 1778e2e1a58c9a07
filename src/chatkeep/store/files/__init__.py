"""Sessions as plain JSON files of their owner, behind a disposable index."""
