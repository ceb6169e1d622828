"""The laws that every transformation of gradtx keeps, for anybody's transformations: `check(tx)`."""

from gradtx.testing.case import Case
from gradtx.testing.checking import LawsBrokenError, Report, check, examine
from gradtx.testing.compare import BrokenError, SkippedError
from gradtx.testing.law import Law, law
from gradtx.testing.laws import LAWS

__all__ = ["LAWS", "BrokenError", "Case", "Law", "LawsBrokenError", "Report", "SkippedError", "check", "examine", "law"]
