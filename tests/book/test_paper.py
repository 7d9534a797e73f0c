"""The numbers that the papers print, as files: each says what it is, and can be read."""

import csv
import re
import subprocess
import sys

import pytest
from pandas.api.types import is_numeric_dtype, is_string_dtype

from memlib.book import paper

TABLES = paper.tables()
SOURCE = r"(?:LayerMem|SSLMem) paper, (Table \d+[ab]?( \(\S+\))?|Fig\. \d+[a-c]?|section \d+\.\d+): \S"
WORDS = {*paper.LAYERS, "name", "scope", "criterion", "chosen", "donor", "data set", "arch", "framework", "phase"}
WORDS |= {"optimizer", "schedule"}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_which_of_the_papers_it_is_and_bears_its_name(name):
    caption = paper.table(name).attrs["caption"]
    source = re.match(SOURCE, caption)
    assert source
    words = source[1].lower().replace("-", "_")
    assert name == re.sub(r"[ .]+", "_", re.sub(r"[()]", "", words))


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_rows_of_its_columns_alone_and_no_column_twice(name):
    lines = (paper.FOLDER / f"{name}.csv").read_text().splitlines()
    body = [line for line in lines if not line.startswith("#")]
    assert lines[: len(lines) - len(body)] == [line for line in lines if line.startswith("#")]
    assert not [line for line in body if "#" in line]  # would be cut there
    header, *rows = csv.reader(body)
    assert rows
    assert len(set(header)) == len(header)
    assert all(re.fullmatch(r"\S(.*\S)?", column) for column in header)
    assert {len(row) for row in rows} == {len(header)}
    assert not [cell for row in rows for cell in row if cell != cell.strip()]


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_numbers_but_for_names(name):
    found = paper.table(name)
    for column in found:
        assert is_string_dtype(found[column]) if column in WORDS else is_numeric_dtype(found[column])
    assert not found.isna().all().any()
    assert not found.isna().all(axis="columns").any()
    keys = [column for column in found if column in {*WORDS, "share (%)"}]
    assert not found[keys or [found.columns[0]]].duplicated().any()


@pytest.mark.parametrize("name", TABLES)
def test_percents_and_scores_are_in_their_range(name):
    found = paper.table(name).select_dtypes("number")
    for column in found:
        known = found[column].dropna()
        if "(%)" in column:
            assert known.between(0, 100).all()
        elif "Mem" in column or column == "p":
            assert known.between(0, 1).all()


def test_what_the_paper_leaves_out_is_missing_and_layers_are_names():
    found = paper.table("table_1").set_index("layer")
    assert found.loc["8", "LayerMem"] == 0.308
    assert found["delta"].isna().to_list() == [True] + 9 * [False]
    assert paper.table("table_23")["layers"].to_list()[:2] == ["none", "6"]


def test_a_page_that_changes_a_table_changes_its_own_alone():
    own = paper.table("table_1")
    own["LayerMem"] = 0.0
    assert paper.table("table_1")["LayerMem"].min() == 0.091


def test_an_unknown_table_is_an_error_with_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'table_18'"):
        paper.table("tabel_18")


def test_the_reader_needs_no_pandas_before_a_table_is_asked_for():
    code = "import sys; from memlib.book import paper; sys.exit('pandas' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
