"""What the project promises about itself: installing, citing, its README."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import memlib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    lines = "".join(blocks("bash")).splitlines()
    return [line.split("  #")[0].strip() for line in lines]


def test_conda_adds_python_and_pip_to_what_pyproject_says_and_nothing_else():
    plain, nested = [], []
    for entry in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]:
        (nested if isinstance(entry, dict) else plain).append(entry)
    assert plain == [f"python{PROJECT['requires-python']}", "pip"]
    assert nested == [{"pip": ["-e .[book,test]"]}]
    assert set(PROJECT["optional-dependencies"]) == {"book", "cluster", "test"}


def test_every_dependency_has_a_lower_bound_or_is_a_typing_stub():
    extras = PROJECT["optional-dependencies"].values()
    for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        required = Requirement(line)
        assert any(bound.operator == ">=" for bound in required.specifier) or "types-" in line or "-stubs" in line


def test_jupyter_book_stays_below_2_which_ignores_the_configuration():
    found = [Requirement(line) for line in PROJECT["optional-dependencies"]["book"]]
    (book,) = [required for required in found if required.name == "jupyter-book"]
    assert not book.specifier.contains("2.0.0")
    assert book.specifier.contains("1.0.4.post1")


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert released[0] == (PROJECT["version"], str(citation["date-released"]))
    assert citation["version"] == memlib.__version__ == PROJECT["version"]


def test_the_citation_has_what_the_format_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert all(citation[key] for key in ("message", "title", "authors", "abstract", "keywords"))
    for work in (citation, *citation["references"]):
        assert all(person.keys() <= {"name", "family-names", "given-names"} for person in work["authors"])
    assert [work["identifiers"][0]["value"] for work in citation["references"]] == [
        "arXiv:2409.19069",
        "arXiv:2401.12233",
    ]


def test_the_license_is_the_mit_license():
    text = (ROOT / "LICENSE").read_text()
    assert text.startswith("MIT License")
    assert "WITHOUT WARRANTY OF ANY KIND" in text
    assert "Apache License" in (ROOT / "book/_static/mathjax/LICENSE").read_text()


def test_all_of_the_package_is_installed():
    from setuptools import find_packages

    chosen = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    installed = set(find_packages(str(ROOT), include=chosen["include"]))
    assert installed == {
        ".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "memlib").rglob("__init__.py")
    }


def test_no_source_file_is_longer_than_350_lines():
    files = [*(ROOT / "memlib").rglob("*.py"), ROOT / "Snakefile"]
    assert not [path.name for path in files if len(path.read_text().splitlines()) > 350]


# ---------------------------------------------------------------- make


def make(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "SCALE")}
    return subprocess.run(["make", *arguments], cwd=cwd, env=env | environment, capture_output=True, text=True)


@pytest.fixture
def fresh(tmp_path):
    """A checkout without an environment, and a python3 that notes what it is asked for."""
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    stub = tmp_path / "python3"
    stub.write_text(
        f'#!/bin/sh\ncd {tmp_path}\necho "$*" >>calls\n'
        'case "$*" in\n'
        "  *'-m venv'*) mkdir -p .venv/bin && cp python3 .venv/bin/python && cp python3 .venv/bin/jupyter-book ;;\n"
        "  *'pip install'*) test ! -e broken ;;\n"
        "  *cpu_count*) echo 2 ;;\n"
        "esac\n"
    )
    stub.chmod(0o755)

    def run(*targets: str) -> tuple[int, list[str]]:
        (tmp_path / "calls").write_text("")
        done = make(f"PYTHON={stub}", *targets, cwd=tmp_path)
        calls = (tmp_path / "calls").read_text().splitlines()
        return done.returncode, [call for call in calls if not call.startswith("-c ")]

    return run


INSTALL = ["-m venv --clear .venv", "-m pip install --disable-pip-version-check --editable .[book,test]"]


def test_a_target_sets_up_the_environment_once(fresh):
    assert fresh("book") == (0, [*INSTALL, "-m snakemake --cores 2 book --config scale=smoke"])
    assert fresh("book", "SCALE=laptop") == (0, ["-m snakemake --cores 2 book --config scale=laptop"])
    assert fresh("html") == (0, ["build -W -n --keep-going --all ."])
    assert fresh() == (0, ["-m snakemake --cores 2 book --config scale=smoke"])


def test_a_set_up_that_was_interrupted_is_made_anew(fresh, tmp_path):
    (tmp_path / "broken").touch()
    code, calls = fresh("test")
    assert (code, calls) == (2, INSTALL)
    (tmp_path / "broken").unlink()
    tests = ["-m ruff check .", "-m ruff format --check .", "-m mypy", "-m pytest"]
    assert fresh("test") == (0, [*INSTALL, *tests])
    assert fresh("test") == (0, tests)


def test_new_dependencies_are_installed_into_the_environment_that_is_there(fresh, tmp_path):
    fresh("html")
    later = (tmp_path / ".venv" / "ready").stat().st_mtime + 5
    os.utime(tmp_path / "pyproject.toml", (later, later))
    assert fresh("html")[1][0] == INSTALL[1]


def test_python_3_10_is_refused_with_a_way_out(tmp_path):
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "pyproject.toml").touch()
    old = tmp_path / "python3"
    old.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10); exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    done = make(f"PYTHON={old}", "html", cwd=tmp_path)
    assert done.returncode
    assert "needs Python 3.11 or newer: make PYTHON=" in done.stderr
    assert not (tmp_path / ".venv").exists()


# ---------------------------------------------------------------- README and CI


def test_the_readme_names_two_commands_first_and_make_knows_them():
    assert [line for line in commands() if line.startswith("make")] == ["make book", "make html"]
    for target in ("book", "html", "test"):
        assert f"`make {target}" in README or f"make {target}" in commands()
        assert make("-n", target, f"PYTHON={sys.executable}").returncode == 0


def test_what_the_readme_installs_can_be_installed(tmp_path):
    (line,) = [line for line in commands() if line.startswith("pip install")]
    assert line == 'pip install -e ".[book,test]"'
    wheel = [
        "-m",
        "pip",
        "wheel",
        ".",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "--wheel-dir",
        str(tmp_path / "w"),
    ]
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tree / name).write_bytes((ROOT / name).read_bytes())
    for path in (ROOT / "memlib").rglob("*.py"):
        copy = tree / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    subprocess.run([sys.executable, *wheel], cwd=tree, check=True)
    assert [path.name for path in (tmp_path / "w").iterdir()] == [f"memlib-{PROJECT['version']}-py3-none-any.whl"]


def test_the_readme_s_python_runs(tmp_path):
    (source,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "layermem" in done.stdout


def test_what_the_readme_points_to_is_there():
    links = re.findall(r'\]\(([^)#]+)\)|src="([^"]+)"', README)
    here = [link for pair in links for link in pair if link and not link.startswith("http")]
    assert len(here) > 8
    assert not [link for link in here if not (ROOT / link).exists()]


def test_ci_runs_what_the_readme_says():
    script = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    for target in ("make test", "make book", "make html"):
        assert f"\n{target}\n" in script
        assert target in README
