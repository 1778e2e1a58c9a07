"""Files for the whole package: durable, private, without surprises.

private     a small file for its owner alone, replaced as a whole under a lock
own         opening a file of ours: regular, with one name
locks       turns of threads and processes, with a time-out
replacing   a new file in the place of an old one, whole or not at all
sqlite      named statements, and transactions
short_reads a bound on what is read at once
files       folders, flushes, stamps; a refusal of the system becomes a sentence
"""
