"""Sessions as plain JSON files of their owner, behind a disposable index.

care/      find faults, repair, back up
store      the verbs
reading/   without a lock         writing/   under the lock of a file
upkeep/    the index follows the files
index/     one SQLite database
tree/      the files
"""
