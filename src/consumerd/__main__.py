"""`python -m consumerd` is the command `consumerd`."""

import sys

from consumerd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
