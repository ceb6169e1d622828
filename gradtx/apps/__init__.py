"""Programs on top of the library: `python -m gradtx NAME`."""
