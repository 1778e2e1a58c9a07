"""`python -m chatkeep.processes.syncer WORKSPACE STORE RULES`: follow other programs for a server.

The server starts this process (see `workers.lasting`). It ends with the server, as the server's end closes its stdin.
"""

import sys

from chatkeep import wiring

if __name__ == "__main__":
    wiring.sync_for(*sys.argv[1:4])
