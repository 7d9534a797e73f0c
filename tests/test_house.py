"""What the project promises about itself: installing, citing, how it is built, its README."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import memlib
from memlib.book.claims import Page
from memlib.book.plan import NOTEBOOKS

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


# ---------------------------------------------------------------- a library below, the book above


PAGES = sorted(path for path in (ROOT / "memlib/book/pages").glob("*.py") if path.stem != "__init__")
KNOWN = {*(f"A{n}" for n in range(1, 116)), *(f"B{n}" for n in range(1, 27))}  # the list of the papers' claims


def imported(path: Path, source: str | None = None) -> set[str]:
    """The modules and names that a file imports anywhere, by their full names."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(source or path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        if isinstance(node, ast.ImportFrom):
            inside = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            base = ".".join(part for part in (inside, node.module) if part)
            found |= {base, *(f"{base}.{name.name}" for name in node.names)}
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {ast.unparse(node.args[0]).strip("'\"")}
    return found


def of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_every_way_to_import_a_module_is_seen():
    page = PAGES[0]
    for source in ("import memlib.book.pages.x", "def f():\n    from memlib.book.pages import x", "from . import x"):
        assert "memlib.book.pages.x" in imported(page, source)
    assert "memlib.book.pages.x" in imported(page, "from ..pages.x import y")
    assert "memlib.book.x" in imported(page, "importlib.import_module('memlib.book.x')")


def test_the_library_imports_nothing_of_the_book():
    files = [path for path in (ROOT / "memlib").rglob("*.py") if "book" not in path.relative_to(ROOT).parts]
    assert len(files) > 50
    assert not [path.name for path in files for name in imported(path) if of(name, "memlib.book")]


def test_no_page_imports_another_page():
    assert len(PAGES) >= 12
    assert not [path.name for path in PAGES for name in imported(path) if of(name, "memlib.book.pages")]


def test_every_name_of_memlib_that_is_imported_is_there():
    def there(name: str) -> bool:
        try:
            return bool(import_module(name))
        except ModuleNotFoundError:
            module, _, attribute = name.rpartition(".")
            return bool(module) and there(module) and hasattr(sys.modules[module], attribute)

    files = [path for folder in ("memlib", "tests") for path in (ROOT / folder).rglob("*.py")]
    names = {(path.name, name) for path in files for name in imported(path) if of(name, "memlib")}
    assert len(names) > 500
    assert sorted((path, name) for path, name in names if not there(name)) == []


@pytest.mark.parametrize("module", ["plan", "jobs", "designs", "experiments"])
def test_planning_imports_no_torch(module):
    code = f"import sys, memlib.book.{module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_claim_has_an_id_of_its_own_and_stands_in_the_list_of_the_papers_claims():
    claims = [claim for page in Page.all().values() for claim in page.claims.values()]
    assert len(claims) > 70
    assert len({claim.id for claim in claims}) == len(claims)
    assert not [claim.id for claim in claims if not claim.ids or len(set(claim.ids)) < len(claim.ids)]
    assert not [(claim.id, name) for claim in claims for name in claim.ids if name not in KNOWN]


def test_every_page_says_what_its_claims_take_and_it_is_what_its_notebook_reads():
    for name, page in Page.all().items():
        assert page.takes
        assert callable(page.takes) or {*page.takes} <= {*NOTEBOOKS[name]}


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
    size = "-m memlib.store size"  # what it left in the user's cache
    assert fresh("book") == (0, [*INSTALL, "-m snakemake --cores 2 book --config scale=smoke", size])
    assert fresh("book", "SCALE=laptop") == (0, ["-m snakemake --cores 2 book --config scale=laptop", size])
    assert fresh("html") == (0, ["build -W -n --keep-going --all ."])
    assert fresh() == (0, ["-m snakemake --cores 2 book --config scale=smoke", size])


def test_a_set_up_that_was_interrupted_is_made_anew(fresh, tmp_path):
    (tmp_path / "broken").touch()
    code, calls = fresh("test")
    assert (code, calls) == (2, INSTALL)
    (tmp_path / "broken").unlink()
    tests = ["-m ruff check .", "-m ruff format --check .", "-m mypy", "-m pytest tests/benchmarks"]
    tests.append(f"-m pytest -n {os.cpu_count()} --dist loadfile --ignore tests/benchmarks")
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
