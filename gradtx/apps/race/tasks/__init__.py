"""The tasks of the race, a family a file; `registry` finds them by name."""
