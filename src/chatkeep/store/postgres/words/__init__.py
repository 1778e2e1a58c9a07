"""What searches ask: the sets of documents in tables.

stored_sets     the sets of one moment       sealing_rows   new labels become rows
postgres_index  the answers to the engine    erasing_words  compaction
"""
