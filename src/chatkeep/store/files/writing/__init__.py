"""Writing under the lock of a session's file: the file first, the index second.

locked_writing   lock a file; write it new, its header, or more lines
batches          the messages of an append: each once, numbered
choosing         the messages that a command drops, or keeps
removal          sessions deleted, in the trash, brought back
erasure          dropped lines erased for good
digesting        the counts, title and preview after lines that drop others
blob_keeping     names for attachments, and the blobs that may go
labelling        the labels of new messages for the index
known_ends       the sessions last written, as the next append needs them
merger           sessions from elsewhere, many new ones together
"""
