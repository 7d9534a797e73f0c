"""The page of speed: a row a benchmark, or how to make them."""

import json

from memlib.book.pages import speed

ENTRY = {"unit": "times", "target": 2.0, "value": 2.5, "runs": [2.4, 2.5, 3.1], "machine": "M"}


def test_the_table_has_a_row_a_benchmark_and_says_how_to_make_them(tmp_path):
    assert "MEMLIB_BENCHMARKS=" in repr(speed.table(tmp_path))
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps(ENTRY | {"name": name}))
    rows = repr(speed.table(tmp_path)).splitlines()[1:]
    assert [row.split() for row in rows] == [[n, "2.50", "2.40", "3.10", "times", "2"] for n in ("a", "b")]
    assert repr(speed.machine(tmp_path)) == "M"
