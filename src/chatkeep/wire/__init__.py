"""The JSON of the API: the server and the Python client encode and decode with the same types.

answers    answers of the routes; status and exit code of each error
errors     errors as problems                         events    changes of the feed
bodies     bodies of requests                         chat      answers and events of chat
"""
