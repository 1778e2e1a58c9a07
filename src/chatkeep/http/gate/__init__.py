"""The way in: the checks on a request before its handler runs.

connection  bytes to requests, bounded          envelope   ids, headers, the log
guard       identity, and permissions           limits     requests a minute
cookies     signed-in browsers                  addresses  one name for each client
rules       permissions of each route, threads  room       memory of bodies in flight
body        request bodies, read and decoded    problems   errors as responses
heads       looks at the headers of a request   binding    parameters of handlers, kept for repeated queries
"""
