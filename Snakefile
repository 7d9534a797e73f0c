"""Encoders -> measurements -> notebooks -> book, at one scale.

    snakemake --cores 2 book --config scale=smoke

What runs again: a measurement when its digest is new or its data set's files changed; a notebook when its
cells, its scale, memlib's source or a measurement changed; the book when any page did. Logs: _build/SCALE/logs.
This file is parsed in every job: memlib.studies imports no torch.
"""

import hashlib
import json
import os
import shlex
import sys
import time
from pathlib import Path

from memlib import store, studies

SCALE = str(config.get("scale", "smoke"))
OUT = f"_build/{Path(SCALE).stem}"
PYTHON = f"OMP_NUM_THREADS={{threads}} {shlex.quote(sys.executable)} -m"
MEASUREMENTS = studies.measurements(SCALE)
PAGES = sorted(path.stem for path in Path("notebooks").glob("*.ipynb"))
STARTED = time.time()


def stamp(name, content):
    """A file that is written only when the content changes, so that its time says when the content did."""
    path = Path("_build", "stamps", name)
    if not path.exists() or path.read_text() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return str(path)


def needs(page):
    """Done files of the measurements that a notebook reads."""
    digests = studies.measurements(SCALE, page) if page in studies.NOTEBOOKS else ()
    return [f"{OUT}/measured/{digest}.json" for digest in digests]


def cells(page):
    """Stamp of a notebook's cells without their outputs: publishing its executed copy is no change."""
    page = Path(f"notebooks/{page}.ipynb")
    found = json.loads(page.read_text(encoding="utf-8"))["cells"]
    own = [cell for cell in found if "injected-parameters" not in cell["metadata"].get("tags", [])]
    return stamp(page.name, json.dumps([[cell["cell_type"], "".join(cell["source"])] for cell in own]))


def files(dataset):
    """Stamp of the names, sizes and times of a data set's files: where they change, keys are looked up again."""
    if dataset.startswith("folder:"):
        found = Path(dataset[7:]).glob("*")
    else:
        root = Path(os.environ.get("MEMLIB_DATA") or store.home() / "data")
        found = [*root.glob("*"), *root.glob(f"{dataset}/*")]
    lines = sorted(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in found)
    return stamp("".join(c if c.isalnum() else "_" for c in dataset), "\n".join(lines))


def sources():
    """Stamp of memlib's source."""
    found = hashlib.sha256()
    for path in sorted(Path("memlib").rglob("*.py")):
        found.update(str(path).encode() + path.read_bytes())
    return stamp("memlib", found.hexdigest())


def failed():
    """Logs of this run whose job did not make what it was to make."""
    made = {"measured": "json", "notebooks": "ipynb"}
    for log in sorted(Path(OUT, "logs").glob("*/*.log")):
        target = Path(OUT, log.parent.name, f"{log.stem}.{made.get(log.parent.name)}")
        target = target if log.parent.name in made else Path(OUT, "html", "index.html")
        if log.stat().st_mtime >= STARTED - 1 and not target.exists():
            yield log


# written now: Snakemake does not see files that come later
CELLS = {page: cells(page) for page in PAGES}
FILES = {m.encoder.dataset: files(m.encoder.dataset) for m in MEASUREMENTS.values()}
MEMLIB = sources()


rule book:
    input:
        f"{OUT}/html/index.html",


rule measure:
    input:
        lambda wildcards: FILES[MEASUREMENTS[wildcards.digest].encoder.dataset],
    output:
        f"{OUT}/measured/{{digest}}.json",
    log:
        f"{OUT}/logs/measured/{{digest}}.log",
    threads: 1
    message:
        "measuring {wildcards.digest}, its encoder is trained first if it is missing: {log}"
    shell:
        PYTHON + " memlib.studies measure {SCALE} {wildcards.digest} --done {output} 2>&1 | tee {log}"


rule page:
    input:
        measured=lambda wildcards: needs(wildcards.page),
        cells=lambda wildcards: CELLS[wildcards.page],
        memlib=MEMLIB,
        sizes=SCALE if SCALE.endswith(".yaml") else f"notebooks/scales/{SCALE}.yaml",
        notebook=ancient("notebooks/{page}.ipynb"),
    output:
        f"{OUT}/notebooks/{{page}}.ipynb",
    log:
        f"{OUT}/logs/notebooks/{{page}}.log",
    threads: 1
    message:
        "executing {wildcards.page}: {log}"
    shell:
        PYTHON + " memlib.pages run {input.notebook} {output} -p scale {SCALE} --log {log}"


rule html:
    input:
        pages=expand(f"{OUT}/notebooks/{{page}}.ipynb", page=PAGES),
        prose=["_config.yml", "_toc.yml", *sorted(str(p) for p in Path("book").rglob("*") if p.is_file())],
        memlib=MEMLIB,
    output:
        f"{OUT}/html/index.html",
    log:
        f"{OUT}/logs/html/sphinx.log",
    threads: 1
    message:
        "rendering the book: {log}"
    shell:
        PYTHON + f" memlib.pages book {OUT}/notebooks {OUT} > {{log}} 2>&1"


onsuccess:
    print(f"\nopen {OUT}/html/index.html")


onerror:
    said = ["", "Not everything was made; whatever did not depend on it was. The ends of the logs:"]
    for path in failed():
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        said += ["", str(path), *(f"    {line}" for line in lines[-5:])]
    print(*said, "", "failed:", *(f"    {path}" for path in failed()), sep="\n", file=sys.stderr, flush=True)
