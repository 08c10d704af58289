"""Reading a shell line: its steps, the programs they run, what two lines have in common, and how to show one.

What belongs here: syntax. What does not: whether a failure matters (see failures.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from codex_loop_assets.signals.model import one_line

# Longer lines are almost always inline programs, whose tail says nothing about what is run.
_READ_LIMIT = 2_000
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1([^\n]*)\n.*?(?:^\s*\2\s*$|\Z)", re.S | re.M)
_TOKEN = re.compile(
    r"""(?P<operator>&&|\|\||\|&|[;|&()\n])|(?P<word>(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s;|&()'"\\]|['"\\])+)""", re.S
)
_QUOTED = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)""", re.S)
# Duplicated descriptors hold an `&` that is no operator; the target of a redirection is no argument.
# Quoted text is matched first, so that it stays.
_REDIRECTION = re.compile(r"""("(?:\\.|[^"\\])*"|'[^']*')|\d*[<>]&\d*-?|&>>?\s*\S+|\d*>>?\s*[^\s;|&()<>]+""", re.S)
_KEYWORDS = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"})
_CLOSING = frozenset({"fi", "done", "esac", "}"})
_SCRIPT = re.compile(r"^\S+\.\w{1,4}$")
# `(…).Content` of PowerShell: what is taken from a result, no program.
_MEMBER = re.compile(r"^\.[A-Za-z]\w*$")
_SHELLS = frozenset({"bash", "sh", "zsh"})
_PROGRAM = re.compile(r"^\w[\w.+-]*$")
_PAGERS = frozenset({"head", "tail", "cat", "tee", "less", "more", "sort", "uniq", "wc", "column", "nl"})
_SILENT = frozenset({"cd", "echo", "set", "export", "source", "true", "printf", "pushd", "popd", "sleep"})
_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
_WRAPPERS = frozenset({"sudo", "env", "time", "nice", "nohup", "exec", "npx", "bunx", "xvfb-run", "stdbuf", "timeout"})
_RUNNERS = {
    "uv": "run",
    "poetry": "run",
    "pipenv": "run",
    "pixi": "run",
    "hatch": "run",
    "rye": "run",
    "bundle": "exec",
}
_INTERPRETERS = frozenset(
    {"python", "python3", "py", "node", "ruby", "perl", "bash", "sh", "zsh", "deno", "php", "pwsh", "powershell"}
)
_SUBCOMMAND_TOOLS = frozenset({
    "git", "npm", "pnpm", "yarn", "bun", "cargo", "go", "docker", "docker-compose", "kubectl", "terraform", "pip",
    "pip3", "uv", "poetry", "dotnet", "gradle", "gradlew", "mvn", "make", "just", "rake", "bundle", "gem",
    "composer", "artisan", "manage.py", "apt", "apt-get", "brew", "gh", "aws", "gcloud", "az", "helm", "nx",
    "turbo", "lerna", "tox", "nox", "alembic", "prisma", "supabase", "firebase", "flutter", "dart", "swift",
    "xcodebuild", "rails", "mix", "cabal", "stack", "bazel",
})  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One program run of a shell line: the operator before it and its words, wrappers and assignments removed."""

    operator: str
    words: tuple[str, ...]

    @cached_property
    def program(self) -> str:
        return self.words[0].replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".exe").lower() if self.words else ""


@lru_cache(maxsize=4_096)
def steps(command: str) -> tuple[Step, ...]:
    """The steps of a shell line in order. A line that no shell could read (unbalanced quotes) gives some, too."""
    text = _REDIRECTION.sub(lambda found: found[1] or " ", _HEREDOC.sub(r"\3\n", command)[:_READ_LIMIT])
    found: list[Step] = []
    operator, words = "", []
    for token in _TOKEN.finditer(text):
        if token["operator"] is None:
            words.append(_unquoted(token["word"]))
        elif words:
            found.append(Step(operator, _unwrapped(words)))
            operator, words = token["operator"], []
        elif token["operator"] not in ("\n", "(", ")"):
            operator = token["operator"]
    if words:
        found.append(Step(operator, _unwrapped(words)))
    return tuple(step for step in found if step.words and not _MEMBER.match(step.words[0]))


def _unquoted(word: str) -> str:
    """A word as the program sees it: quotes and the backslash before a character removed."""
    if "'" not in word and '"' not in word and "\\" not in word:
        return word
    return _QUOTED.sub(lambda found: found[1] or found[2] or found[3] or "", word)


def _unwrapped(words: list[str]) -> tuple[str, ...]:
    """Words from the program that is really meant: assignments, shell keywords and wrappers such as `sudo` dropped."""
    rest = words
    while rest and (dropped := _wrapper_length(rest)):
        rest = rest[dropped:]
    return tuple(rest)


def _wrapper_length(words: list[str]) -> int:
    """How many leading words only say how the rest is run."""
    name = words[0].rsplit("/", 1)[-1]
    if _ASSIGNMENT.match(words[0]) or words[0] in _KEYWORDS or words[0] in _CLOSING:
        return 1
    if name in _WRAPPERS and len(words) > 1:
        length = 1
        while length < len(words) and (
            words[length].startswith("-") or (name == "timeout" and words[length][0].isdigit())
        ):
            length += 1
        return length
    runs_module = name in ("python", "python3") and words[1:2] == ["-m"]
    runs_tool = name in _RUNNERS and words[1:2] == [_RUNNERS[name]]
    return 2 if len(words) > 2 and (runs_module or runs_tool) else 0


def deciding_steps(command: str) -> tuple[Step, ...]:
    """The steps that can have set the exit code: the last pipeline's last program, and those that `&&` led there from.

    A program that only shows what it is given (`| tail -20`) stands for the one before it: it fails only with that.
    """
    found = [step for step in steps(command) if not (step.operator in ("|", "|&") and step.program in _PAGERS)]
    deciding: list[Step] = []
    for index in range(len(found) - 1, -1, -1):
        following = found[index + 1].operator if index + 1 < len(found) else ""
        if following in ("|", "|&"):
            continue
        if following in (";", "\n", "&", "(", ")"):
            break
        deciding.append(found[index])
    return tuple(reversed(deciding))


@lru_cache(maxsize=4_096)
def family(command: str) -> str:
    """What a line is an attempt at: program and subcommand or script, the same for every variation of arguments.

    >>> family("cd /app && npm run build -- --verbose")
    'npm run build'
    >>> family("bash .specify/scripts/setup-plan.sh --json")
    'setup-plan.sh'
    """
    named = [step for step in steps(command) if _PROGRAM.match(step.program)]
    telling = [step for step in deciding_steps(command) if step in named and step.program not in _SILENT]
    return _family((telling or named)[-1]) if named else one_line(command, 40)


def _family(step: Step) -> str:
    arguments = [word for word in step.words[1:] if not word.startswith("-")]
    if step.program in _INTERPRETERS:
        flags = [word for word in step.words[1:] if word.startswith("-") and not word.startswith("--")]
        if any("c" in flag or "e" in flag for flag in flags):
            # `perl -pi -e … file` edits the file; the program is the text after the flag.
            shell = step.program in _SHELLS and arguments
            return family(arguments[0]) if shell and arguments[0] != step.program else f"{step.program} (inline)"
        script = next((word for word in arguments if _SCRIPT.match(word)), None)
        return script.replace("\\", "/").rsplit("/", 1)[-1] if script else f"{step.program} (inline)"
    if step.program in _SUBCOMMAND_TOOLS and arguments:
        depth = 2 if arguments[0] in ("run", "compose", "exec") and len(arguments) > 1 else 1
        return " ".join((step.program, *arguments[:depth]))
    return step.program


def shortened(command: str, limit: int = 110) -> str:
    """A command as a reader wants to see it: one line of at most `limit` characters, without `cd … &&` before it and
    without here-document bodies."""
    text = _HEREDOC.sub(r"<<\2 …", command).strip()
    text = re.sub(r"^(?:cd\s+(?:\"[^\"]*\"|'[^']*'|\S+)\s*(?:&&|;)\s*)+", "", text)
    return one_line(text or command, limit)
