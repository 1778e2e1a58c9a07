"""The HTTP door: FastAPI routes over the use cases, one choke point in front of them."""
