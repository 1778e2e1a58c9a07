"""Where sessions live: one protocol, and one room for each way to keep its promises."""
