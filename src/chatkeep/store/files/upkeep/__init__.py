"""Upkeep: the index follows the files.

upkeep   the life of the index: opened, caught up, written, replaced
intake   a file as a row of the index, mended where an append broke off
"""
