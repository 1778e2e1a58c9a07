"""The HTTP door: routes over `Sessions`, with one guard in front of them."""
