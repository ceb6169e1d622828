"""The program behind `python -m gradtx`; `python -m gradtx --help` describes it."""

import sys

from gradtx.apps.cli import process

if __name__ == "__main__":
    sys.exit(process())
