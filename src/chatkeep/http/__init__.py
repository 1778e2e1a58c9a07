"""The HTTP door: FastAPI routes over `Sessions`, with one guard in front of them."""
