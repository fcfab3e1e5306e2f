"""Start the userland process; see ``process``."""

import sys

from cutaway.network.userland.process import main

sys.exit(main(sys.argv[1:]))
