"""An unpacked wheel → a prefix layout with one copy of each library, under its true soname."""

from tt_conda.carve.carve import carve
from tt_conda.carve.report import CarveReport
from tt_conda.carve.rules import Rules, load_rules

__all__ = ["CarveReport", "Rules", "carve", "load_rules"]
