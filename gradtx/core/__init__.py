"""What everything stands on. Authors of transformations may use all of it that has no underscore.

`gradtx` itself exports what users need. An author's file also wants the checks of `gradtx.core.errors` and the
arithmetic of `gradtx.core.numerics`.
"""
