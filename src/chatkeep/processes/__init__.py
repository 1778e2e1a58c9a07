"""The processes of a server besides its own: one to search, one to store long texts."""
