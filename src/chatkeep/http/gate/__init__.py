"""The way in: what a request passes before its handler runs.

connection  bytes as requests, bounded          envelope   ids, headers, the log
guard       who it is and what they may do      limits     how often
cookies     browsers that are signed in         addresses  where it comes from
rules       what each route asks for            room       how much memory bodies take
body        what it brings                      problems   errors as answers
"""
