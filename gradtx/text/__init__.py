"""Values as text and as plain dicts, and back: for configuration files, command lines and logs.

>>> import gradtx
>>> tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(1e-3))
>>> gradtx.parse(repr(tx)) == tx and gradtx.from_dict(gradtx.to_dict(tx)) == tx
True
"""

from gradtx.text.dicts import from_dict, to_dict
from gradtx.text.parse import parse

__all__ = ["from_dict", "parse", "to_dict"]
