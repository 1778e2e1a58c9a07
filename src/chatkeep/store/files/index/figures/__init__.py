"""Figures from the index.

counting   sessions, messages and bytes, by time, channel and tag
costing    tokens and money of the models' answers
"""
