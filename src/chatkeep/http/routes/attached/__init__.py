"""The handlers of what messages have beside their words.

blob_bytes   the bytes of attachments
"""
