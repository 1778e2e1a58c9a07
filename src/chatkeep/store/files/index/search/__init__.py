"""The search engine over the index.

searching   matching messages, in order
documents   messages in the full-text index
"""
