"""The public namespace: its help names everything, and a name that it does not have leads to one that it has."""

import re

import pytest

import gradtx


def test_help_names_every_transformation_and_schedule():
    factories = {name for name in gradtx.__all__ if hasattr(getattr(gradtx, name), "factory")}
    assert factories - set(re.findall(r"\w+", gradtx.__doc__ or "")) == {"foreign", "function_schedule"}


@pytest.mark.parametrize(("name", "end"), [("adamm", r" \(did you mean 'adam'\?\)"), ("_private", "")])
def test_unknown_names(name, end):
    with pytest.raises(AttributeError, match=f"module 'gradtx' has no attribute '{name}'{end}$"):
        getattr(gradtx, name)
