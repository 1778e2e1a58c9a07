"""Stores of sessions: one protocol, and one module or package for each implementation."""
