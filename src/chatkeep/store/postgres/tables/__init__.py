"""The tables: their schema, the connections to them, and values as their columns have them.

cells       values of the columns          conditions     selections as SQL
migrating   the schema, step by step       postgres_pool  the pool, and statements by name
"""
