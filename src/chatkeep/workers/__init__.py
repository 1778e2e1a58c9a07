"""Work in other processes, to keep the server's interpreter free.

beside      start another process, send it work, and answer there
appending   appends of long texts
holding     recording of long calls to a model
heard       recording of its long answers
showing     long answers: windows, exports, forks
taking_in   new sessions and imports with long texts
"""
