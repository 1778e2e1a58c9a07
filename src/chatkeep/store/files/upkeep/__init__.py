"""Upkeep: the index follows the files.

upkeep      the index of a store: asked, told of changes, replaced when lost
place       where it is: opened, built under another name, or copied into memory
comparing   all files beside what the index knows of them
intake      a file as a row of the index, mended where an append broke off
debts       changes answered before the index took them
"""
