"""Reading without a lock: the index gives the places, the files give the bytes.

fetching   the messages of windows and searches
recent     the last windows, kept in memory
"""
