"""Work in processes of their own, so that the server's interpreter stays free.

beside      starting another process, asking it, answering there
appending   appends of long texts
holding     recording long calls of a model
"""
