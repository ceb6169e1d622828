"""The core of gradtx. All other packages import it, and authors of transformations may use every public name in it.

`gradtx` exports the names that users need. Authors also need the checks in `gradtx.errors` and the arithmetic in
`gradtx.core.numerics`.
"""
