"""Sample sessions to try things on; where they come from is in README.md beside them."""
