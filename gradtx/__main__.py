"""The program behind `python -m gradtx`: see `python -m gradtx --help`."""

import sys

from gradtx.apps.cli import main

if __name__ == "__main__":
    sys.exit(main())
