"""The files: one per session, each appended to like a log.

outside   changes by other programs     pieces   several reads at once
tree      names, locks, replacing, quarantine     folders   followed where they move
blob_room   attachments, each once
trash     deleted sessions that can come back
held      a locked file: reading and writing its end     births    new files, many together
format    the bytes of a session
"""
