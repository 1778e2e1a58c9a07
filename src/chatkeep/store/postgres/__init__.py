"""The store on PostgreSQL: sessions in tables, and the sets of searches in rows beside them.

postgres_store  the verbs                  adding      appends, nearly always one statement
changing        drops, merges, headers     row_writing changes of one session, under its lock
answering       sessions, lists, figures   removing    deletions and the trash
outbox          the feed                   words/      the sets of searches
tables/         the schema, the pool, and values as the columns have them
"""
