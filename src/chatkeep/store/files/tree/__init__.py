"""The files: one per session, each appended to like a log.

outside   what others change        pieces   several reads at once
tree      names, locks, replacing, quarantine
held      a file that is locked: reading and writing its end
format    the bytes of a session    locks    turns of threads and processes
"""
