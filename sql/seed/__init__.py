"""Sample rows: the same ones on every machine, in words that such programmes really use."""

from sql.seed.policies import make_policies
from sql.seed.write import Result, write_all

__all__ = ["Result", "make_policies", "write_all"]
