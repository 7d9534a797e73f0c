"""The batch engine on a real Slurm of one node, which these tests set up: munge, controller and node daemon."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from getpass import getuser
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from memlib import data, store
from memlib.book import jobs, plan

ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
DAEMONS = ("munged", "slurmctld", "slurmd")
WITHOUT = [name for name in DAEMONS if not shutil.which(name, path=PATH)]
pytestmark = [
    pytest.mark.skipif(bool(WITHOUT), reason=f"no {', '.join(WITHOUT)} here: apt-get install slurm-wlm munge"),
    pytest.mark.timeout(1800),
]

CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
GresTypes=gpu
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
PAGE, DESIGNS = min(plan.NOTEBOOKS.items(), key=lambda item: len(item[1]))  # the page that reads the fewest
SCALE = {
    "encoder": {"dataset": "digits", "batch": 50, "epochs": 60},
    "measure": {"views": 2, "external": 30},
    "designs": {
        name: {
            "kind": "halves",
            "subset": 100,
            "pairs": 1,
            "seed": 10 * number,
            "resources": {"train": {"gpus": 1, "mem_mb": 1500}},
        }
        for number, name in enumerate(DESIGNS)
    },
    "resources": {"train": {"mem_mb": 3000, "runtime": 50}},
}


def ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def until(true, seconds: float = 600, every: float = 0.3):
    """What a function returns as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(every)
    return found


@contextmanager
def daemon(folder: Path, env: dict[str, str], *command: str):
    with (
        open(folder / f"{command[0]}.log", "w") as log,
        subprocess.Popen(command, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def snakemake(tree: Path, env: dict[str, str], *command: str):
    """A run that goes on beside this test, and ends with it; what it says is in the file `said`."""
    with (
        open(tree / "said", "w") as said,
        subprocess.Popen(command, cwd=tree, env=env, stdout=said, stderr=said) as running,
    ):
        try:
            yield running
        finally:
            running.kill()  # asked to end, it would wait for its jobs


@pytest.fixture(scope="module")
def slurm():
    """Environment variables with which commands find the cluster. Its two GPUs are none: they are only counted."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path: a socket's has 107 characters at most
    folder.chmod(0o755)
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONF.format(host=host, user=getuser(), folder=folder, ports=ports(2)))
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    # the plugin starts srun without Slurm's variables: on a cluster the configuration lies at its default place
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun", path=PATH)} "$@"\n')
    srun.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
    env |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{srun.parent}{os.pathsep}{PATH}"}
    munge = [f"--{n}={folder}/munge.{s}" for n, s in (("key-file", "key"), ("socket", "sock"), ("seed-file", "seed"))]
    munge += [f"--pid-file={folder}/munge.pid", "--foreground", "--force"]
    with ExitStack() as running:
        running.callback(shutil.rmtree, folder, ignore_errors=True)
        running.enter_context(daemon(folder, env, "munged", *munge))
        until((folder / "munge.sock").exists, 30)
        running.enter_context(daemon(folder, env, "slurmctld", "-D"))
        running.enter_context(daemon(folder, env, "slurmd", "-D"))
        until(lambda: ask(env, "sinfo", "--noheader", "--format=%T") == "idle", 60)
        yield env
        ask(env, "scancel", f"--user={getuser()}")
        until(lambda: not ask(env, "squeue", "--noheader"), 60)


def ask(env: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def tree(tmp_path, slurm):
    """A checkout with one page, which reads one pair of encoders; checkpoints are written all the time."""
    for name in ("Snakefile", "profiles", "memlib"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    module = tmp_path / "memlib" / "train" / "__init__.py"
    often = module.read_text().replace("SAVE_EVERY = 15.0", "SAVE_EVERY = 0.5")
    assert often != module.read_text()
    module.write_text(often)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SCALE))
    read = [f"print('read', len(book.design(scale, {name!r})), 'pair')" for name in DESIGNS]
    cells = [new_code_cell('scale = "laptop"', metadata={"tags": ["parameters"]})]
    cells += [new_code_cell("\n".join(["from memlib import book", *read]))]
    (tmp_path / "notebooks").mkdir()
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), tmp_path / "notebooks" / f"{PAGE}.ipynb")
    return tmp_path


def test_a_run_on_slurm_survives_a_cancelled_job_and_is_taken_up_where_it_was(tree, slurm):
    env = slurm | {"PYTHONPATH": str(tree), "MEMLIB_HOME": str(tree / "home"), "OMP_NUM_THREADS": "1"}
    page = tree / "_build" / "tiny" / "notebooks" / f"{PAGE}.ipynb"
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/slurm", str(page.relative_to(tree))]
    command += ["--config", "scale=tiny.yaml", "--slurm-status-command", "squeue"]
    command += ["--slurm-init-seconds-before-status-checks", "2"]
    spec = next(iter(jobs.plan(str(tree / "tiny.yaml")).encoders.values()))
    key = spec.key(data.FINGERPRINTS["digits", "train"])
    checkpoint = tree / "home" / "encoders" / f"{key}{store.CHECKPOINT}"
    done = tree / "_build" / "tiny" / "trained" / f"{spec.digest}.json"
    log = tree / "_build" / "tiny" / "logs" / "trained" / f"{spec.digest}.log"

    def job() -> str:
        """Slurm's number of the running job that trains this encoder."""
        lines = ask(env, "squeue", "--states=running", "--noheader", "--format=%i %k").splitlines()
        return next((line.split()[0] for line in lines if spec.digest in line), "")

    with snakemake(tree, env, *command, "--retries", "1") as running:
        until(lambda: checkpoint.exists() or running.poll() is not None)
        first = job()
        asked = ask(env, "scontrol", "show", "job", first)
        ask(env, "scancel", first)
        until(lambda: job() not in ("", first) or running.poll() is not None)  # submitted again by itself
        until(lambda: (log.exists() and "continues at step" in log.read_text()) or running.poll() is not None)
        assert ask(env, "scancel", job()) == "", "it has finished before it was cancelled twice"
        code = running.wait()
    told = (tree / "said").read_text()
    assert code, told
    assert told.count("SLURM status is: 'CANCELLED'") == 2, told
    assert f"    {log.relative_to(tree)}" in told.splitlines()[told.splitlines().index("failed:") :]
    assert not done.exists()
    assert len([*done.parent.glob("*.json")]) == len(jobs.plan(str(tree / "tiny.yaml")).encoders) - 1
    for words in ("gpu[:=]1", "MinMemoryNode=1500M", "TimeLimit=00:50:00", "NumCPUs=1"):
        assert re.search(rf"{words}\b", asked), asked

    second = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True)
    assert second.returncode == 0, second.stdout + second.stderr
    assert json.loads(done.read_text())[0]["header"]["started_at_step"] > 0
    assert "read 1 pair" in page.read_text()

    third = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True)
    assert "Nothing to be done" in third.stderr


@pytest.mark.skipif(
    "MEMLIB_LARGE" not in os.environ,
    reason="a quarter of an hour: MEMLIB_LARGE=1 pytest tests/book/test_cluster.py -k large",
)
@pytest.mark.timeout(5400)
def test_large_the_whole_smoke_book_is_made_on_slurm_though_a_job_is_cancelled(tmp_path, slurm):
    for name in ("Snakefile", "profiles", "memlib", "notebooks", "book", "_config.yml", "_toc.yml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    env = slurm | {"PYTHONPATH": str(tmp_path), "MEMLIB_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/slurm", "book", "--config", "scale=smoke"]
    command += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"]

    def measuring() -> str:
        """Slurm's number of a running job that measures."""
        lines = ask(env, "squeue", "--states=running", "--noheader", "--format=%i %k").splitlines()
        return next((line.split()[0] for line in lines if "measure" in line), "")

    with snakemake(tmp_path, env, *command, "--retries", "1") as running:
        first = until(measuring)
        ask(env, "scancel", first)
        code = running.wait()
    told = (tmp_path / "said").read_text()
    assert code == 0, told[-6000:]
    assert told.count("SLURM status is: 'CANCELLED'") == 1, told[-6000:]
    pages = {path.stem for path in (tmp_path / "notebooks").glob("*.ipynb")}
    made = {path.stem for path in (tmp_path / "_build" / "smoke" / "html" / "notebooks").glob("*.html")}
    assert pages == made
    again = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "Nothing to be done" in again.stderr, again.stdout + again.stderr
