"""Encoders -> measurements -> notebooks -> book, at one scale.

    snakemake --cores 2 book --config scale=smoke
    snakemake --profile profiles/slurm book --config scale=paper

What runs again: an encoder or a pair's measurements when a digest is new or the images changed; a notebook when its
cells, its scale, memlib's source, a number of the papers or a measurement changed; the book when any page did. An
encoder is wanted only where a measurement is missing, and a measurement that is published is no job. Logs:
_build/SCALE/logs.
This file is parsed in every job: memlib.book.jobs imports no torch.
"""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from memlib import store
from memlib.book import jobs, plan

SCALE = str(config.get("scale", "smoke"))
OUT = f"_build/{Path(SCALE).stem}"
EXECUTABLE = shlex.quote(sys.executable)
PYTHON = f"OMP_NUM_THREADS={{threads}} {EXECUTABLE} -m"
PLAN = jobs.plan(SCALE)
PAGES = sorted(path.stem for path in Path("notebooks").glob("*.ipynb"))
STARTED = time.time()


def stamp(name, content):
    """A file that is written only when the content changes, so that its time says when the content did."""
    path = Path("_build", "stamps", name)
    if not path.exists() or path.read_text() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{name}.{os.uname().nodename}.{os.getpid()}")  # jobs elsewhere may be reading
        draft.write_text(content)
        os.replace(draft, path)
    return str(path)


def images():
    """Names, sizes and times of the files of all data sets that the scale reads."""
    root = Path(os.environ.get("MEMLIB_DATA") or store.home() / "data")
    found = [root]
    read = {name for job in PLAN.measured.values() for m in job for name in m.datasets}
    for name in sorted(read):
        found += Path(name[7:]).glob("*") if name.startswith("folder:") else root.glob(f"{name}/*")
    files = sorted({*found, *root.glob("*")})
    return [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files if path.exists()]


@cache
def places():
    """Where each encoder and measurement lies, or will; looked up when plan, store or the images' files changed."""
    published = store.results(Path(SCALE).stem)
    known = [images(), sorted(map(str, published.glob("*"))), str(store.home()), list(PLAN.measured)]
    path = Path("_build", "stamps", f"{Path(SCALE).stem}-{store.digest(known)}.json")
    if not path.exists():
        look = [sys.executable, "-m", "memlib.book.jobs", "look", SCALE]  # in a process of its own: this takes torch
        stamp(path.name, subprocess.run(look, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return json.loads(path.read_text())


def missing(digest):
    """Whether the store has no such encoder or measurement."""
    return not (places()[digest] and Path(places()[digest]).exists())


def keyed(name, *digests):
    """Stamp of the places of artefacts: they change with the images."""
    return stamp(f"{name}.keys", "\n".join(str(places()[digest]) for digest in digests))


def needs(page):
    """Done files of what is measured for a notebook; of what was there before, the measurements."""
    for job in PLAN.of(page):
        done, digests = f"{OUT}/measured/{job}.json", [m.digest for m in PLAN.measured[job]]
        if Path(done).exists() or any(map(missing, digests)):
            yield done
        else:
            yield from (places()[digest] for digest in digests)


def wants(job):
    """Done files of the encoders that a job's measurements need."""
    for m in PLAN.measured[job]:
        for encoder in {spec.digest for spec in m.encoders if spec.digest in PLAN.encoders}:
            done = f"{OUT}/trained/{encoder}.json"
            if Path(done).exists() or (missing(m.digest) and missing(encoder)):
                yield done


@cache
def asked(kind, digest=None):
    """What a job asks for: gpus, threads, mem_mb, runtime."""
    return jobs.resources(SCALE, kind, *(PLAN.designs[digest] if digest else ()))


def ask(kind, name):
    """One of these, for a rule whose wildcard is the digest."""
    return lambda wildcards: asked(kind, *wildcards)[name]


def several(gpus):
    """What starts a process for each GPU, where there are several."""
    return f"torch.distributed.run --standalone --nproc-per-node {gpus} -m " if gpus > 1 else ""


def cells(page):
    """Stamp of a notebook's cells without their outputs: publishing its executed copy is no change."""
    page = Path(f"notebooks/{page}.ipynb")
    found = json.loads(page.read_text(encoding="utf-8"))["cells"]
    own = [cell for cell in found if "injected-parameters" not in cell["metadata"].get("tags", [])]
    return stamp(page.name, json.dumps([[cell["cell_type"], "".join(cell["source"])] for cell in own]))


def sources():
    """Stamp of memlib's source, and of the papers' numbers that pages show."""
    found = hashlib.sha256()
    for path in sorted([*Path("memlib").rglob("*.py"), *Path("book/paper").glob("*.csv")]):
        found.update(str(path).encode() + path.read_bytes())
    return stamp("memlib", found.hexdigest())


def failed():
    """Logs of this run whose job did not make what it was to make."""
    made = {"trained": "json", "measured": "json", "notebooks": "ipynb"}
    for log in sorted(Path(OUT, "logs").glob("*/*.log")):
        target = Path(OUT, log.parent.name, f"{log.stem}.{made.get(log.parent.name)}")
        if log.parent.name not in made:
            target = Path(OUT, {"html": "html/index.html"}.get(log.parent.name, "verdicts.csv"))
        if log.stat().st_mtime >= STARTED - 1 and not target.exists():
            yield log


# written now: Snakemake does not see files that come later
CELLS = {page: cells(page) for page in PAGES}
MEMLIB = sources()


wildcard_constraints:
    encoder="[0-9a-f]{16}",
    job="[0-9a-f]{16}",


rule book:
    input:
        f"{OUT}/html/index.html",


rule train:
    input:
        lambda wildcards: keyed(wildcards.encoder, wildcards.encoder),
    output:
        f"{OUT}/trained/{{encoder}}.json",
    log:
        f"{OUT}/logs/trained/{{encoder}}.log",
    params:
        start=lambda wildcards, resources: several(resources.gpu),
        each=lambda wildcards, resources, threads: max(threads // max(resources.gpu, 1), 1),
    threads: ask("train", "threads")
    resources:
        nodes=1,
        gpu=ask("train", "gpus"),
        mem_mb=ask("train", "mem_mb"),
        runtime=ask("train", "runtime"),
    message:
        "training {wildcards.encoder}: {log}"
    shell:
        "OMP_NUM_THREADS={params.each} {EXECUTABLE} -m {params.start}"
        "memlib.book train {SCALE} {wildcards.encoder} --done {output} 2>&1 | tee {log}"


rule measure:
    input:
        images=lambda wildcards: keyed(wildcards.job, *(m.digest for m in PLAN.measured[wildcards.job])),
        encoders=lambda wildcards: list(wants(wildcards.job)),
    output:
        f"{OUT}/measured/{{job}}.json",
    log:
        f"{OUT}/logs/measured/{{job}}.log",
    params:
        digests=lambda wildcards: [m.digest for m in PLAN.measured[wildcards.job]],
    threads: ask("measure", "threads")
    resources:
        gpu=ask("measure", "gpus"),
        mem_mb=ask("measure", "mem_mb"),
        runtime=ask("measure", "runtime"),
    message:
        "measuring {wildcards.job}: {log}"
    shell:
        PYTHON + " memlib.book measure {SCALE} {params.digests} --done {output} 2>&1 | tee {log}"


rule page:
    input:
        measured=lambda wildcards: list(needs(wildcards.page)),
        cells=lambda wildcards: CELLS[wildcards.page],
        memlib=MEMLIB,
        sizes=SCALE if SCALE.endswith(".yaml") else f"notebooks/scales/{SCALE}.yaml",
        notebook=ancient("notebooks/{page}.ipynb"),
    output:
        f"{OUT}/notebooks/{{page}}.ipynb",
    log:
        f"{OUT}/logs/notebooks/{{page}}.log",
    threads: asked("page")["threads"]
    resources:
        gpu=asked("page")["gpus"],
        mem_mb=asked("page")["mem_mb"],
        runtime=asked("page")["runtime"],
    message:
        "executing {wildcards.page}: {log}"
    shell:
        PYTHON + " memlib.book.render run {input.notebook} {output} -p scale {SCALE} --log {log}"


rule verdicts:
    input:
        measured=lambda wildcards: sorted({need for page in PAGES for need in needs(page)}),
        memlib=MEMLIB,
        sizes=SCALE if SCALE.endswith(".yaml") else f"notebooks/scales/{SCALE}.yaml",
    output:
        f"{OUT}/verdicts.csv",
    log:
        f"{OUT}/logs/verdicts/{Path(SCALE).stem}.log",
    threads: asked("page")["threads"]
    resources:
        gpu=asked("page")["gpus"],
        mem_mb=asked("page")["mem_mb"],
        runtime=asked("page")["runtime"],
    message:
        "judging every claim: {log}"
    shell:
        PYTHON + " memlib.book verdicts {SCALE} --csv {output} > {log} 2>&1"


rule html:
    input:
        verdicts=f"{OUT}/verdicts.csv",
        pages=expand(f"{OUT}/notebooks/{{page}}.ipynb", page=PAGES),
        prose=["_config.yml", "_toc.yml", *sorted(str(p) for p in Path("book").rglob("*") if p.is_file())],
        memlib=MEMLIB,
    output:
        f"{OUT}/html/index.html",
    log:
        f"{OUT}/logs/html/sphinx.log",
    threads: 1
    resources:
        mem_mb=jobs.DEFAULTS["mem_mb"],
        runtime=jobs.DEFAULTS["runtime"],
    message:
        "rendering the book: {log}"
    shell:
        PYTHON + f" memlib.book.render book {OUT}/notebooks {OUT} > {{log}} 2>&1"


onsuccess:
    print(f"\nopen {OUT}/html/index.html")


onerror:
    said = ["", "Not everything was made; whatever did not depend on it was. The ends of the logs:"]
    for path in failed():
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        lines = lines or ["empty: its command did not begin; a cluster's reason stands in .snakemake/slurm_logs"]
        said += ["", str(path), *(f"    {line}" for line in lines[-5:])]
    named = [f"    {path}" for path in failed()] or ["    no job said why: the reason stands above, and in .snakemake/log"]
    print(*said, "", "failed:", *named, sep="\n", file=sys.stderr, flush=True)
