"""The batch engine on small stand-in notebooks: what runs, what runs again, and what a failure leaves."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from memlib.book import plan

ROOT = Path(__file__).parents[2]
TINY = """
encoder: {dataset: digits, batch: 10, epochs: 1}
measure: {views: 2, external: 10}
tiny: &tiny {kind: halves, subset: 20, pairs: 1, seed: 0}
designs: {%s}
"""


def notebook(path: Path, *sources: str) -> None:
    parameters = new_code_cell('scale = "laptop"', metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# A page"), parameters, *map(new_code_cell, sources)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)


@pytest.fixture
def tree(tmp_path):
    """A checkout whose notebooks need no measurement."""
    for name in ("Snakefile", "profiles", "memlib", "notebooks/scales"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    notebook(tmp_path / "notebooks" / "a.ipynb", "print('a at', scale)")
    notebook(tmp_path / "notebooks" / "b.ipynb", "print('b')")
    return tmp_path


def command(*targets: str) -> list[str]:
    pages = [f"_build/smoke/notebooks/{name}.ipynb" for name in targets or ("a", "b")]
    return [sys.executable, "-m", "snakemake", "--cores", "2", *pages, "--config", "scale=smoke"]


def snakemake(tree: Path, *targets: str) -> subprocess.CompletedProcess:
    env = os.environ | {"PYTHONPATH": str(tree), "MEMLIB_HOME": str(tree / "home")}
    return subprocess.run(
        command(*targets), cwd=tree, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def executed(done: subprocess.CompletedProcess) -> set[str]:
    return {line.split("executing ")[1].split(":")[0] for line in done.stderr.splitlines() if "executing " in line}


def page(tree: Path, name: str) -> Path:
    return tree / "_build" / "smoke" / "notebooks" / f"{name}.ipynb"


def test_only_what_changed_runs_again(tree):
    assert executed(snakemake(tree)) == {"a", "b"}
    assert "a at smoke" in page(tree, "a").read_text()

    assert executed(snakemake(tree)) == set()

    os.utime(tree / "memlib" / "metrics.py")  # touched, and the same
    assert executed(snakemake(tree)) == set()

    shutil.copy2(page(tree, "b"), tree / "notebooks" / "b.ipynb")  # published: the same cells with outputs
    os.utime(tree / "notebooks" / "b.ipynb")
    assert executed(snakemake(tree, "b")) == set()

    notebook(tree / "notebooks" / "a.ipynb", "print('a, changed')")
    assert executed(snakemake(tree)) == {"a"}
    assert "a, changed" in page(tree, "a").read_text()

    with open(tree / "memlib" / "metrics.py", "a") as file:
        file.write("\n# changed\n")
    assert executed(snakemake(tree)) == {"a", "b"}

    (tree / "book" / "paper").mkdir(parents=True)
    (tree / "book" / "paper" / "table_1.csv").write_text("layer\n1\n")
    assert executed(snakemake(tree)) == {"a", "b"}


def test_a_failing_notebook_stops_no_other_reaches_no_page_and_is_named_in_the_last_lines(tree):
    assert snakemake(tree).returncode == 0
    notebook(tree / "notebooks" / "a.ipynb", "print('before')", "raise ValueError('what went wrong')")
    notebook(tree / "notebooks" / "b.ipynb", "import time; time.sleep(4)", "print('b, later')")
    done = snakemake(tree)
    assert done.returncode
    assert "b, later" in page(tree, "b").read_text()
    assert not page(tree, "a").exists()
    last = done.stderr.splitlines()[-15:]
    assert "    _build/smoke/logs/notebooks/a.log" in last[last.index("failed:") :]
    assert "    ValueError: what went wrong" in last
    assert "what went wrong" in (tree / "_build/smoke/logs/notebooks/a.log").read_text()

    notebook(tree / "notebooks" / "a.ipynb", "print('mended')")
    assert executed(snakemake(tree)) == {"a"}


def test_a_run_that_was_killed_is_taken_up_where_it_was(tree):
    notebook(tree / "notebooks" / "b.ipynb", "import time, pathlib\npathlib.Path('running').touch()\ntime.sleep(60)")
    env = os.environ | {"PYTHONPATH": str(tree), "MEMLIB_HOME": str(tree / "home")}
    said = tree / "said"
    with (
        open(said, "w") as err,
        subprocess.Popen(command(), cwd=tree, env=env, stderr=err, start_new_session=True) as process,
    ):
        while not ((tree / "running").exists() and "1 of 2 steps" in said.read_text()):
            assert process.poll() is None
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    notebook(tree / "notebooks" / "b.ipynb", "print('b, taken up')")
    done = snakemake(tree)
    assert done.returncode == 0, done.stderr
    assert executed(done) == {"b"}
    assert "b, taken up" in page(tree, "b").read_text()


def run(tree: Path, scale: str, *more: str) -> subprocess.CompletedProcess:
    env = os.environ | {"PYTHONPATH": str(tree), "MEMLIB_HOME": str(tree / "home")}
    line = [sys.executable, "-m", "snakemake", "--cores", "2", *more, "--config", f"scale={scale}"]
    return subprocess.run(line, cwd=tree, env=env, capture_output=True, text=True)


def planned(tree: Path, scale: str, target: str) -> Counter[str]:
    """How many jobs of each rule are left."""
    done = run(tree, scale, "--dry-run", target)
    assert done.returncode == 0, done.stdout + done.stderr
    return Counter(re.findall(r"^Job \d+: (training|measuring|executing)", done.stdout + done.stderr, re.MULTILINE))


def test_an_encoder_is_trained_in_a_job_of_its_own_and_only_where_a_measurement_is_missing(tree):
    page, designs = min(plan.NOTEBOOKS.items(), key=lambda item: len(item[1]))
    (tree / "tiny.yaml").write_text(TINY % ", ".join(f"{name}: *tiny" for name in designs))
    notebook(tree / "notebooks" / f"{page}.ipynb", "print('the page')")
    target, store = f"_build/tiny/notebooks/{page}.ipynb", tree / "home"
    first = run(tree, "tiny.yaml", target)
    assert first.returncode == 0, first.stdout + first.stderr
    started = re.findall(r"^Job \d+: (training|measuring|executing)", first.stderr, re.MULTILINE)
    assert started == ["training", "training", "measuring", "executing"]
    for name in ("trained/*.json", "measured/*.json"):
        assert all("header" in path.read_text() for path in (tree / "_build" / "tiny").glob(name))
    assert "Nothing to be done" in run(tree, "tiny.yaml", target).stderr

    shutil.rmtree(tree / "_build" / "tiny")
    assert planned(tree, "tiny.yaml", target) == {"executing": 1}  # the measurements are there
    encoders = sorted(store.glob("encoders/*.safetensors"))
    for path in encoders:
        path.unlink()
    assert planned(tree, "tiny.yaml", target) == {"executing": 1}  # measured encoders need not be
    for path in store.glob("results/tiny/*.safetensors"):
        path.unlink()
    assert planned(tree, "tiny.yaml", target) == {"training": 2, "measuring": 1, "executing": 1}


def test_a_published_measurement_is_no_job_and_needs_no_encoder(tree, monkeypatch):
    monkeypatch.setenv("MEMLIB_RESULTS", str(ROOT / "book" / "results"))
    monkeypatch.setenv("MEMLIB_DATA", str(tree / "nothing"))
    notebook(tree / "notebooks" / "04_1_layermem.ipynb", "print('the page')")
    assert planned(tree, "laptop", "_build/laptop/notebooks/04_1_layermem.ipynb") == {"executing": 1}


def test_a_scale_that_is_not_there_is_an_error_with_the_nearest(tree):
    line = [*command()[:-1], "scale=laptpo"]
    done = subprocess.run(line, cwd=tree, capture_output=True, text=True)
    assert done.returncode
    assert "did you mean 'laptop'" in done.stderr


def test_planning_imports_no_torch():
    code = "import sys, memlib.book.jobs as j; j.plan('paper'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
