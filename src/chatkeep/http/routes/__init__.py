"""The handlers: one module for each kind of route. The table of all routes is in `http.app`.

sessions    PocketPaw's dialect        keys       grip's dialect
chat        asking a model             proxy      recording the calls of other clients
events      the feed                   server     health, status, statistics, documents
page        the page and its sign-in   parameters query parameters, and their filters
keeping     erasing for good           meaning    the sessions that a body means
"""
