"""`python -m i2s`: the command `i2s`."""

import sys

from i2s.cli import main

if __name__ == "__main__":
    sys.exit(main())
