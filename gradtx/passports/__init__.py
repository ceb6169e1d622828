"""What is known and measured of each transformation, on a page: `print(gradtx.passport("adam"))`."""

from gradtx.passports.passport import Passport, passport

__all__ = ["Passport", "passport"]
