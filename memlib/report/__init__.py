"""LayerMem and UnitMem as users hold them: scores with controls and intervals, `.table()` and `.plot()`."""

from memlib.report.layers import LayerMem, layermem
from memlib.report.units import Unit, UnitMem, unitmem

__all__ = ["LayerMem", "Unit", "UnitMem", "layermem", "unitmem"]
