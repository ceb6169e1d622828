"""A benchmark in a box, `python -m gradtx race`: optimizers of several libraries on tasks that need no download."""
