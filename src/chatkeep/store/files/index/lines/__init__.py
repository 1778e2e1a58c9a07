"""The tables filled from lines, beside that of the messages.

runs      neighbouring documents
charges   the answers of models
naming    the blobs that sessions name
"""
