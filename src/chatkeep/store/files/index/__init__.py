"""The index: one disposable SQLite database.

index       the operations of the store on it
databases   its media: on the disk, or in memory over a read-only file
search/     finding messages by words       figures/   statistics, usage    changes, selecting   feed, lists
rows        typed rows                      columns                        their values
known_names keys without opening the store
sql         named statements                overlay                        written pages in memory
turns/      changes in groups, lent readers, kept answers        lines/  tables filled from lines
"""
