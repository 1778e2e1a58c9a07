"""Attachments: their bytes, kept once, and the names that stand for them in messages.

blob_names    bytes in a message for names, and back
media_types   the kinds of bytes that a browser may show
"""
