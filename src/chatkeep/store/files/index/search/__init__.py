"""The search engine over the index.

searching   which messages match, and in which order
documents   messages as the index of words has them
"""
