"""Whatever a trace holds, it stays data: no rendered file lets it out of its place, and nothing of it is ever run."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from codex_loop_assets.distill.distil import distil_cluster
from codex_loop_assets.settings import section
from codex_loop_assets_tests.distill.worlds import CALC, CALC_FIXED, NOW, Session, calc_world, canon, members

SHELLCHECK = Path(sys.executable).parent / "shellcheck"
INSTRUCTIONS = {"FROM", "ENV", "RUN", "ADD", "WORKDIR", "COPY"}
CANARY = Path(tempfile.gettempdir()) / "codex-loop-canary"

FRAGMENTS = [
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"; touch {CANARY} #",
    f"\ntouch {CANARY}\n",
    f"' && touch {CANARY} && '",
    f'"; touch {CANARY}; "',
    "\0",
    "\r\n",
    "\\",
    "\\\n",
    "'",
    '"',
    '"""',
    "'''",
    "<<EOF",
    "EOF\n",
    "]\n[metadata]\nx = 1",
    "\nFROM evil\n",
    "\nRUN touch x\n",
    "${IFS}",
    "../../../etc/passwd",
    "/etc/passwd",
    "--upload-pack=touch",
    "\u2028",
    "\x1b[31m",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "# syntax=evil",
    "```\n## Done when\n",
    "\ufeff",
    "é",
    "-rf",
    "~",
    "*",
]
HOSTILE = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=6)), min_size=1, max_size=5).map("".join)


@pytest.fixture(scope="module")
def calc(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    session, repositories = calc_world(folder / "calc")
    return folder, session.commit, next(iter(repositories.values()))


@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    words=HOSTILE,
    url=HOSTILE,
    name=HOSTILE,
    branch=HOSTILE,
    argument=st.one_of(st.just("-v"), HOSTILE.map(shlex.quote), HOSTILE),
    file=HOSTILE,
    content=HOSTILE,
    commit=st.one_of(st.none(), HOSTILE),
    kind=st.sampled_from(["hermetic", "clone", "replayed"]),
)
def test_a_hostile_trace_never_leaves_its_place(calc, words, url, name, branch, argument, file, content, commit, kind):
    folder, real_commit, repository = calc
    CANARY.unlink(missing_ok=True)
    home = Path(tempfile.mkdtemp(dir=folder))
    address = url if kind == "replayed" else f"https://example.org/{url}"
    session = Session(
        "thread/../x" + branch, real_commit if kind == "hermetic" else commit or real_commit, repository_url=address
    )
    session.facts = {"branch": branch, "repository": name, "cli_version": words, "model": words}
    session.ask("please mend the addition " + words)
    session.run(f"cat {shlex.quote('calc.py')}", 0, output=CALC)
    session.run("python3 -m unittest " + argument, 1).signal(description=words)
    session.run("pip install " + argument, 0)
    session.patch({"calc.py": (CALC, CALC_FIXED), f"sub/{file}": (None, content)})
    session.run("python3 -m unittest " + argument, 0)
    repositories = {address: repository} if kind == "hermetic" else {}
    rows = distil_cluster(
        "clu" + name,
        members(session),
        canon(session),
        repositories,
        home,
        section("distill"),
        NOW,
        redact=lambda text, thread: text,
    )
    assert not CANARY.exists()
    assert rows.height == 1
    assert_sound(home)
    assert_runs_only_what_was_run(home, stubs(folder))
    shutil.rmtree(home)


def stubs(folder: Path) -> Path:
    """A folder with programs that do nothing, under the names of those that a check or set-up may start."""
    place = folder / "stubs"
    place.mkdir(exist_ok=True)
    for name in ("python3", "pip", "git"):
        (place / name).write_text("#!/bin/sh\nexit 0\n")
        (place / name).chmod(0o755)
    return place


def assert_runs_only_what_was_run(home: Path, programs: Path) -> None:
    """The scripts that hold words of the trace are run with harmless programs: nothing else of the trace may run with them."""
    workspace = home / "workspace"
    workspace.mkdir()
    workdir = section("distill")["workdir"]
    for script in [*home.rglob("check.sh"), *home.rglob("setup.sh")]:
        text = script.read_text().replace(f"cd {workdir}", f"cd {shlex.quote(str(workspace))}")
        environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(workspace)}
        subprocess.run(
            ["bash", "-c", text], env=environment, cwd=workspace, capture_output=True, timeout=60, check=False
        )
        assert not CANARY.exists(), text


def assert_sound(home: Path) -> None:
    """Every file below the home parses as what it is, and none points outside."""
    scripts = [str(path) for path in home.rglob("*.sh")]
    if scripts:
        # Severity error: what ShellCheck cannot parse, and what cannot do what it looks like.
        done = subprocess.run([SHELLCHECK, "--severity=error", "--norc", *scripts], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout.decode()
    for path in home.rglob("*"):
        assert path.resolve().is_relative_to(home.resolve()) and not path.is_symlink()
        if path.is_dir() or "cache" in path.relative_to(home).parts:
            continue
        data = path.read_bytes()
        if path.suffix == ".sh":
            assert subprocess.run(["bash", "-n", str(path)], capture_output=True, check=False).returncode == 0, data
            assert b"\r" not in data and b"\0" not in data
        elif path.suffix == ".toml":
            document = tomllib.loads(data.decode())
            assert set(document) <= {
                "schema_version",
                "task",
                "metadata",
                "agent",
                "verifier",
                "environment",
                "dataset",
                "tasks",
                "files",
            }
        elif path.suffix == ".json":
            json.loads(data)
        elif path.name == "Dockerfile":
            assert_dockerfile(data)
        elif path.suffix == ".tar" and data:
            with tarfile.open(fileobj=io.BytesIO(data)) as bundle:
                assert all(not item.name.startswith("/") and ".." not in item.name.split("/") for item in bundle)


def assert_dockerfile(data: bytes) -> None:
    parser = DockerfileParser(fileobj=io.BytesIO(data))
    structure = parser.structure
    assert {step["instruction"] for step in structure} <= INSTRUCTIONS
    assert [step["instruction"] for step in structure].count("FROM") == 1
    assert all(str(CANARY) not in step["value"] and "<<" not in step["value"] for step in structure)


def test_a_starting_diff_outside_its_home_is_not_read(tmp_path):
    from codex_loop_assets.distill.start import starting_diff
    from codex_loop_assets.distill.tree import UnsafePath

    (tmp_path / "secret").write_text("s")
    home = tmp_path / "codex"
    home.mkdir()
    (home / "link").symlink_to(tmp_path / "secret")
    session = Session("t").row | {"starting_diff_path": "link"}
    assert starting_diff(session, {"main": home}) == b""
    for path in ("../secret", str(tmp_path / "secret")):
        with pytest.raises(UnsafePath):
            starting_diff(session | {"starting_diff_path": path}, {"main": home})
