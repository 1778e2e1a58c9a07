"""`python -m chatkeep.processes.searcher STORE DESCRIPTOR...`: search for a server.

The server starts this process (see `workers.beside`). It ends with the server, as the server's end closes the
channels.
"""

import sys

from chatkeep import wiring

if __name__ == "__main__":
    wiring.run_searcher(sys.argv[1], [int(number) for number in sys.argv[2:]])
