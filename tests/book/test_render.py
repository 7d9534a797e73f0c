"""What papermill does silently, memlib.book.render says aloud (each case was seen to happen)."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from memlib.book import render


def notebook(path: Path, *sources: str, parameters: str | None = 'scale = "laptop"\nseed = 3') -> Path:
    cells = [new_code_cell(source) for source in sources]
    if parameters is not None:
        cells.insert(0, new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def text(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "".join(part.get("text", "") for cell in cells for part in cell.get("outputs", []))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_notebook_runs_with_its_parameters_and_keeps_their_types(tmp_path):
    source = notebook(tmp_path / "a.ipynb", "print(scale, seed + 1)")
    render.run(source, tmp_path / "out" / "a.ipynb", {"scale": "smoke", "seed": 7})
    assert text(tmp_path / "out" / "a.ipynb") == "smoke 8\n"
    assert left(tmp_path / "out") == ["a.ipynb", "a.log"]


def test_parameters_that_equal_the_defaults_leave_the_page_as_it_stands(tmp_path):
    source = notebook(tmp_path / "a.ipynb", "print(scale)")
    render.run(source, tmp_path / "out.ipynb", {"scale": "laptop", "seed": 3})
    page = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert len(page.cells) == 2
    assert "papermill" not in json.dumps(page.metadata)
    assert str(tmp_path) not in (tmp_path / "out.ipynb").read_text()


def test_an_unknown_parameter_is_an_error_before_anything_runs(tmp_path):
    source = notebook(tmp_path / "a.ipynb", f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(KeyError, match=r"unknown parameter of a\.ipynb 'scael'.*did you mean 'scale'"):
        render.run(source, tmp_path / "out.ipynb", {"scael": "smoke"})
    assert left(tmp_path) == ["a.ipynb"]


def test_a_parameter_for_a_notebook_that_takes_none_is_an_error(tmp_path):
    source = notebook(tmp_path / "a.ipynb", "1", parameters=None)
    with pytest.raises(KeyError, match="tagged 'parameters'"):
        render.run(source, tmp_path / "out.ipynb", {"scale": "smoke"})


def test_a_notebook_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ipynb"):
        render.run(tmp_path / "nowhere.ipynb", tmp_path / "out.ipynb")


def test_a_failing_cell_leaves_no_page_and_its_error_in_the_log(tmp_path):
    source = notebook(tmp_path / "a.ipynb", "raise ValueError('what went wrong')", "print('after')")
    with pytest.raises(RuntimeError, match=r"a\.ipynb failed.*out\.log"):
        render.run(source, tmp_path / "out.ipynb")
    assert left(tmp_path) == ["a.ipynb", "out.log"]
    assert "what went wrong" in (tmp_path / "out.log").read_text()


def test_a_failure_leaves_the_page_of_an_earlier_run_untouched(tmp_path):
    source = notebook(tmp_path / "a.ipynb", "print(1 / seed)")
    render.run(source, tmp_path / "out.ipynb")
    before = (tmp_path / "out.ipynb").read_bytes()
    with pytest.raises(RuntimeError):
        render.run(source, tmp_path / "out.ipynb", {"seed": 0})
    assert (tmp_path / "out.ipynb").read_bytes() == before


def test_a_killed_kernel_is_a_failure_though_papermill_leaves_a_finished_looking_notebook(tmp_path):
    kill = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    source = notebook(tmp_path / "a.ipynb", "print('alive')", kill, "print('after')")
    with pytest.raises(RuntimeError, match="failed"):
        render.run(source, tmp_path / "out.ipynb")
    assert not (tmp_path / "out.ipynb").exists()


def test_a_draft_with_a_cell_that_did_not_run_is_no_page(tmp_path):
    draft, log = notebook(tmp_path / "a.ipynb", "print(1)"), tmp_path / "a.log"
    with pytest.raises(RuntimeError, match=r"cell 0 of a\.ipynb did not run to its end"), open(log, "w") as sink:
        render._finish(draft, draft, 0, log, sink)


def test_the_time_limit_ends_the_kernel_and_what_it_started(tmp_path):
    child = tmp_path / "child"
    source = notebook(
        tmp_path / "a.ipynb",
        "import subprocess, time, os",
        f"p = subprocess.Popen(['sleep', '600'])\nopen({str(child)!r}, 'w').write(f'{{p.pid}} {{os.getpid()}}')",
        "time.sleep(600)",
    )
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match="longer than 6 s"):
        render.run(source, tmp_path / "out.ipynb", timeout=6)
    assert time.monotonic() - begin < 20
    time.sleep(0.5)
    assert not [pid for pid in child.read_text().split() if _alive(int(pid))]
    assert left(tmp_path) == ["a.ipynb", "child", "out.log"]


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_kernel_that_does_not_start_is_tried_again(tmp_path, monkeypatch):
    starts = tmp_path / "starts"
    collide = (
        f"import sys, runpy; f = open({str(starts)!r}, 'a'); f.write('x'); f.close()\n"
        f"if len(open({str(starts)!r}).read()) < 2: sys.exit('Address already in use')\n"
        "sys.argv = ['ipykernel_launcher', '-f', sys.argv[1]]\n"
        "runpy.run_module('ipykernel_launcher', run_name='__main__')"
    )
    monkeypatch.setattr(render, "KERNEL", [sys.executable, "-c", collide, "{connection_file}"])
    source = notebook(tmp_path / "a.ipynb", "print('ran')")
    render.run(source, tmp_path / "out.ipynb")
    assert text(tmp_path / "out.ipynb") == "ran\n"
    assert starts.read_text() == "xx"
    assert "trying again (2 more)" in (tmp_path / "out.log").read_text()


def test_a_kernel_that_never_starts_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "KERNEL", [sys.executable, "-c", "raise SystemExit(1)", "{connection_file}"])
    monkeypatch.setattr(render, "STARTS", 2)
    with pytest.raises(RuntimeError, match="failed"):
        render.run(notebook(tmp_path / "a.ipynb", "1"), tmp_path / "out.ipynb")
    assert (tmp_path / "out.log").read_text().count("trying again") == 1


def test_the_kernel_is_this_interpreter_whatever_is_called_python3_elsewhere(tmp_path, monkeypatch):
    for root in (tmp_path / "path", tmp_path / "home" / ".local" / "share" / "jupyter"):
        spec = root / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text(json.dumps({"argv": ["false"], "display_name": "another", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "path"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    source = notebook(tmp_path / "a.ipynb", "import sys\nprint(sys.executable)")
    render.run(source, tmp_path / "out.ipynb")
    assert text(tmp_path / "out.ipynb").strip() == sys.executable


def test_standard_error_and_progress_bars_go_to_the_log_not_to_the_page(tmp_path):
    source = notebook(
        tmp_path / "a.ipynb",
        "import sys, warnings\nfrom tqdm.auto import tqdm",
        "warnings.warn('careful')\nprint('noise', file=sys.stderr)\nprint(sum(tqdm(range(3))))",
    )
    render.run(source, tmp_path / "out.ipynb")
    outputs = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs
    assert [(part.output_type, part.text) for part in outputs] == [("stream", "3\n")]
    assert "careful" in (tmp_path / "out.log").read_text()
    assert "noise" in (tmp_path / "out.log").read_text()


def test_figures_are_on_the_page_also_where_another_backend_is_set(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    source = notebook(tmp_path / "a.ipynb", "import matplotlib.pyplot as plt\nplt.plot([0, 1]);")
    render.run(source, tmp_path / "out.ipynb")
    outputs = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs
    assert any("image/png" in part.get("data", {}) for part in outputs)


def test_a_termination_ends_the_kernel_too(tmp_path):
    pid = tmp_path / "pid"
    source = notebook(
        tmp_path / "a.ipynb", f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    )
    command = [sys.executable, "-m", "memlib.book.render", "run", str(source), str(tmp_path / "out.ipynb")]
    with subprocess.Popen(command) as process:
        while not (pid.exists() and pid.read_text()):
            assert process.poll() is None
            time.sleep(0.1)
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
    time.sleep(0.5)
    assert not _alive(int(pid.read_text()))
    assert left(tmp_path) == ["a.ipynb", "out.log", "pid"]


def test_the_command_line_takes_literals_and_names_an_error_in_one_line(tmp_path, capsys):
    source = notebook(tmp_path / "a.ipynb", "print(repr(scale), repr(seed))")
    out = str(tmp_path / "out.ipynb")
    assert render.main(["run", str(source), out, "-p", "scale", "smoke", "-p", "seed", "1e-3"]) == 0
    assert text(tmp_path / "out.ipynb") == "'smoke' 0.001\n"
    assert render.main(["run", str(source), out, "-p", "sead", "1"]) == 1
    assert "did you mean 'seed'" in capsys.readouterr().err


def test_a_book_without_verdicts_of_its_scale_is_not_rendered(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"memlib\.book verdicts smoke --csv"):
        render.book(tmp_path / "notebooks", tmp_path / "smoke")
    assert not (tmp_path / "smoke").exists()


@pytest.mark.parametrize("path", sorted(Path("notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_of_the_book_takes_scale_first_and_only_literals(path):
    cells = nbformat.read(path, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assigned = ast.parse(tagged[0].source).body
    assert all(isinstance(line, ast.Assign) for line in assigned)
    names = [line.targets[0].id for line in assigned]
    assert names[0] == "scale"
    for line in assigned:  # what is derived here would be derived from the defaults
        ast.literal_eval(line.value)
    assert ast.literal_eval(assigned[0].value) == "laptop"


def test_the_environment_of_a_run_is_left_as_it_was(tmp_path):
    before = dict(os.environ)
    render.run(notebook(tmp_path / "a.ipynb", "1"), tmp_path / "out.ipynb")
    assert dict(os.environ) == before
