"""The measurements that pages are computed from: small tables, read where they exist and made where they do not.

One table holds one encoder: the distances of every layer on every point of its design for two independent draws of
views, what UnitMem needs of every unit, and where its design asks for them ClassMem and the accuracy of linear
probes. Those of the published scale lie in `book/results`. A study is a design, measured.
"""

from memlib.tables.measured import BLOCKS, DRAWS, SETS, Table, make, place, table, thumbnails
from memlib.tables.studied import Study, study

__all__ = ["BLOCKS", "DRAWS", "SETS", "Study", "Table", "make", "place", "study", "table", "thumbnails"]
