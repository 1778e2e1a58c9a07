"""The questions of a search to this index.

lookups     the answers of this index to the engine (`chatkeep.store.engine`)
"""
