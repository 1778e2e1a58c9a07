"""What text says of itself: a title, its reasoning, what is quoted in it.

titles      a title for people
openings    the first words that give one
reasoning   thinking, parted from the answer
quoting     the words of others, as words
"""
