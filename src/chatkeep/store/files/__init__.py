"""Sessions as plain JSON files that their owner keeps, behind an index that may be lost at any time."""
