"""Logs and databases of other programs: read record by record, while those programs go on writing.

`entries` yields the records of logs and documents, `sqlite_files` the rows of databases, `parts` the words in either.
`gathering` keeps the messages on disk until the heads of their sessions are known.
"""
