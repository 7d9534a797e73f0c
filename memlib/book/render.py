"""Executing notebooks into pages, so that what went wrong never looks finished."""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memlib.specs import nearest

KERNEL = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
STARTS = 3  # kernels started at the same moment can collide on ports
NEVER_STARTED = ("before replying to kernel_info", "Kernel didn't respond")
PUBLISHED = "laptop"  # the scale of the committed notebooks
SOURCES = ("_config.yml", "_toc.yml", "book", "notebooks/scales", "profiles")


def run(
    notebook: str | Path,
    output: str | Path,
    parameters: Mapping[str, Any] | None = None,
    timeout: float = 3600,
    log: str | Path | None = None,
) -> None:
    """Execute a notebook with papermill; `output` appears only when every cell has run without an error.

    The kernel is this interpreter, whatever other kernels are installed. Parameters that equal the
    notebook's own are not injected. What cells write to standard error goes to the log, not to the page.

    Args:
        notebook: Its cell tagged `parameters` holds the defaults, as literals.
        output: Where the executed copy is moved once it is complete.
        parameters: Plain values by name.
        timeout: Seconds after which the kernel and everything that it started are ended.
        log: The log file; by default `output` with the ending `.log`.

    Raises:
        FileNotFoundError: There is no such notebook.
        KeyError: A parameter is unknown to the notebook; nothing was run.
        TimeoutError: It took longer than `timeout`.
        RuntimeError: A cell failed, or the kernel died.
    """
    notebook, output = Path(notebook), Path(output)
    log = Path(log) if log else output.with_suffix(".log")
    values = _checked(notebook, dict(parameters or {}))
    for folder in (output.parent, log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.stem}-", dir=output.parent) as place:
        draft = Path(place, output.name)
        with open(log, "w", encoding="utf-8") as sink:
            for left in reversed(range(STARTS)):
                code = _papermill(notebook, draft, values, timeout, sink, draft.parent)
                if not (left and code and _never_started(log)):
                    break
                print(f"the kernel did not start, trying again ({left} more)", file=sink, flush=True)
            _finish(notebook, draft, code, log, sink)
        os.replace(draft, output)


def book(executed: str | Path, build: str | Path) -> Path:
    """Render the book with the executed notebooks of one scale in the place of the committed ones.

    Every warning is an error: a page missing from the contents, a glue key that no notebook wrote.

    Args:
        executed: Folder of executed notebooks.
        build: Folder that gets `src`, a copy of the book's sources, and `html`; its name is the scale's, and it has
            the scale's `verdicts.csv`.

    Returns:
        The page to open.

    Raises:
        FileNotFoundError: There are no verdicts; nothing was rendered.
        RuntimeError: Sphinx warned or failed; what it said stands above, on standard error.
    """
    source, html, verdicts = (Path(build, name) for name in ("src", "html", "verdicts.csv"))
    if not verdicts.is_file():
        made = f"python -m memlib.book verdicts {Path(build).name} --csv {verdicts}"
        raise FileNotFoundError(f"no {verdicts}, which start page and scoreboard show: {made}")
    shutil.rmtree(source, ignore_errors=True)
    for name in SOURCES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if Path(name).is_dir() else shutil.copy2
        copy(name, source / name)
    if (scale := Path(build).name) != PUBLISHED:
        banner = f"This copy was made at scale {scale}. The published book is made at scale {PUBLISHED}."
        config = source / "_config.yml"
        config.write_text(config.read_text().replace("\nhtml:\n", f"\nhtml:\n  announcement: {banner}\n", 1))
    shutil.copy2(verdicts, source / "book")
    for page in Path(executed).glob("*.ipynb"):
        shutil.copy2(page, source / "notebooks")
    command = [
        str(Path(sysconfig.get_path("scripts"), "jupyter-book")),
        "build",
        "-W",
        "-n",
        "--keep-going",
        str(source),
    ]
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
        raise RuntimeError(f"the book has errors or warnings: run {' '.join(command)}")
    shutil.rmtree(html, ignore_errors=True)
    os.replace(source / "_build" / "html", html)
    return html / "index.html"


def _checked(notebook: Path, values: dict[str, Any]) -> dict[str, Any]:
    """The parameters that differ from the notebook's defaults; papermill itself would take any name."""
    if not notebook.is_file():
        raise FileNotFoundError(f"no notebook {notebook}")
    import papermill

    known = papermill.inspect_notebook(str(notebook))
    for name in values:
        if not known:
            raise KeyError(f"{notebook.name} takes no parameter {name!r}: none of its cells is tagged 'parameters'")
        if name not in known:
            raise nearest(name, known, f"parameter of {notebook.name}")
    return {name: value for name, value in values.items() if repr(value) != repr(literal(known[name]["default"]))}


def literal(text: str) -> Any:
    """The Python literal that a text is, otherwise the text itself: 1e-3 is a number, smoke is a string."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _papermill(notebook: Path, draft: Path, values: dict, timeout: float, sink, folder: Path) -> int:
    """Run papermill in a session of its own and return its exit status; nothing of it outlives this call."""
    spec = folder / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(json.dumps({"argv": KERNEL, "display_name": "Python 3", "language": "python"}))
    env = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # figures belong inline
    env |= {
        "JUPYTER_PATH": str(folder),  # before any other kernel that is called python3
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),  # no start-up files, no history shared between kernels
        "TQDM_DISABLE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    command = [sys.executable, "-m", "papermill", str(notebook), str(draft), "--kernel", "python3"]
    command += ["--no-progress-bar", "--log-output", "--start-timeout", "120"]
    command += ["--parameters_yaml", json.dumps(values)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=env, start_new_session=True
    )
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{notebook.name} took longer than {timeout:g} s and was ended: {sink.name}") from None
    finally:
        _end(process)


def _end(process: subprocess.Popen) -> None:
    """End a process and all that descends from it: kernels live in sessions of their own."""
    import psutil

    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:  # it ended by itself, and its kernel with it
        family = []
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def _never_started(log: Path) -> bool:
    return any(sign in log.read_text(encoding="utf-8") for sign in NEVER_STARTED)


def _finish(notebook: Path, draft: Path, code: int, log: Path, sink) -> None:
    """Check that the draft is complete, and take from it what does not belong on a page."""
    if code:  # after a dead kernel the draft looks finished: only the exit status tells
        raise RuntimeError(f"{notebook.name} failed (exit status {code}): the error is at the end of {log}")
    page = json.loads(draft.read_text(encoding="utf-8"))
    for number, cell in enumerate(page["cells"]):
        if "injected-parameters" in (tags := cell["metadata"].get("tags", [])):
            tags.append("remove-input")  # as what it follows
        if cell["cell_type"] != "code" or not "".join(cell["source"]).strip():
            continue
        kinds = {part["output_type"] for part in cell["outputs"]}
        if cell["execution_count"] is None or "error" in kinds:
            raise RuntimeError(f"cell {number} of {notebook.name} did not run to its end: {log}")
        for part in (part for part in cell["outputs"] if part.get("name") == "stderr"):
            print(f"cell {number}, standard error:", *part["text"], sep="\n", file=sink)
        cell["outputs"] = [part for part in cell["outputs"] if part.get("name") != "stderr"]
    for holder in (page, *page["cells"]):  # paths and times of this machine
        for name in ("papermill", "execution"):
            holder["metadata"].pop(name, None)
    draft.write_text(json.dumps(page, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command line: `run NOTEBOOK OUTPUT -p NAME VALUE`, `book EXECUTED BUILD`."""
    parser = argparse.ArgumentParser(prog="python -m memlib.book.render", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run", help="execute one notebook")
    command.add_argument("notebook")
    command.add_argument("output")
    command.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    command.add_argument("--timeout", type=float, default=3600, help="seconds (default: 3600)")
    command.add_argument("--log")
    command = commands.add_parser("book", help="render the book from executed notebooks")
    command.add_argument("executed")
    command.add_argument("build")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that kernels are ended too
    try:
        if given.command == "run":
            values = {name: literal(value) for name, value in given.parameter}
            run(given.notebook, given.output, values, given.timeout, given.log)
        else:
            print(f"open {book(given.executed, given.build)}")
    except (FileNotFoundError, KeyError, TimeoutError, RuntimeError) as error:
        print(f"error: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
