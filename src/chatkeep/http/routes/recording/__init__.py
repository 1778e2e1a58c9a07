"""Doors of recorded clients: those that Chatkeep stands before, and those that tell of their conversations."""
