"""Turns at the database: changes one after the other, readers beside them.

committing            changes in groups; housekeeping
reading_connections   lent to readers
kept                  answers of one moment
"""
