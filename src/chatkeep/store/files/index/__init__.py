"""The index: one SQLite database that can be thrown away.

index       what the store asks of it and tells it
databases   on the disk, or in memory over what can only be read
search/     finding messages by words       counting, changes, selecting   figures, changes, lists
rows        what a row holds                vocabulary                  which words there are
sql         named statements                overlay                     pages kept in memory
"""
