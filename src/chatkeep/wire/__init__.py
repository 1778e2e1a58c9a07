"""The JSON of the API, both ways: the server writes it, the client reads it.

errors     one table: error, status, exit code        events    changes of the feed
answers    what routes answer                         chat      what chat answers
bodies     what requests bring
"""
