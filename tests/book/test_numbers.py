"""The numbers behind tables and figures, as CSV."""

import base64
import re

import numpy as np

from memlib.book import show
from memlib.book.show import numbers
from memlib.stats import Interval


def test_the_page_offers_its_numbers_as_csv_with_bounds_beside_the_means():
    show.style()
    show.curves(
        {"trained": {"1": Interval(0.2, 0.1, 0.4, 4, 100, 0.1)}}, "layer", "UnitMem", paper={"trained": {"1": 0.3}}
    )
    show.table([{"layer": "1", "n": 3}])
    show.table([{"layer": "2", "n": 4}])
    show.table([{"layer": "5", "n": 4}], kept=False)
    found = numbers.kept()
    assert [*found] == ["UnitMem by layer", "layer, n", "layer, n (2)"]
    assert found["UnitMem by layer"].splitlines() == [
        'series,place,value,"value, low","value, high"',
        "trained,1,0.2,0.1,0.4",
    ]
    assert base64.b64decode(re.findall("base64,([^']+)'", show.downloads().data)[2]).decode() == "layer,n\n2,4\n"
    show.style()
    assert not numbers.kept()


def test_every_kind_of_figure_offers_its_numbers():
    show.style()
    show.heat({"τ": {("1", "2"): 0.5}}, "layer", "layer")
    show.scatter({"f": {"8": (Interval(0.2, 0.1, 0.4, 4, 100, 0.1), 3.0)}}, "memory", "cost")
    show.scatter({"f": {"": (np.arange(3), np.arange(3))}}, "a cloud", "has none")
    show.spreads({"seen": {"8": np.arange(5.0)}}, "layer", "UnitMem")
    show.histograms({"seen": [0.1, 0.1, 0.9]}, "UnitMem", bins=2, limits=(0, 1))
    found = {words: csv.splitlines() for words, csv in numbers.kept().items()}
    assert found == {
        "layer by layer, as colours": ["panel,row,column,value", "τ,1,2,0.5"],
        "cost against memory": ['series,name,memory,"memory, low","memory, high",cost', "f,8,0.2,0.1,0.4,3"],
        "UnitMem by layer, quantiles": ["series,layer,2.5 %,25 %,50 %,75 %,97.5 %", "seen,8,0.1,1,2,3,3.9"],
        "share of the units by UnitMem": [
            "series,from,to,share",
            "seen,0,0.5,0.66667",
            "seen,0.5,1,0.33333",
        ],
    }
