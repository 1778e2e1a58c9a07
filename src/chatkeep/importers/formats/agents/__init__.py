"""Importers of agents that keep their sessions on the user's machine, in logs or databases."""
