"""The handlers: one module for each kind of route. The table of all routes is in `http.app`.

sessions    PocketPaw's dialect        keys       grip's dialect
chat        asking a model             proxy      recording who asks a model
events      the feed                   server     health, status, figures, documents
page        the page and its sign-in   parameters what stands in a query
"""
