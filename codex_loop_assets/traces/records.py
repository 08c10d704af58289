"""Record types that both formats share: session metadata, turn context, compaction, artifacts, bridges."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from codex_loop_assets.traces.row import Content, content, present
from codex_loop_assets.traces.settings import ReadSettings
from codex_loop_assets.traces.submissions import decision_name, policies
from codex_loop_assets.traces.values import cut, mapping, plain_path, sequence, string, tag

_SCP_REMOTE = re.compile(r"^[^@/\s]+@([^:/\s]+):(.+)$")


def without_credentials(url: Any) -> str | None:
    """A remote URL without user name and password; the `git@host:path` form has none worth keeping either."""
    if type(url) is not str:
        return None
    scp = _SCP_REMOTE.match(url)
    if scp:
        return f"{scp[1]}:{scp[2]}"
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return None
    return urlunsplit((parts.scheme, host, parts.path, "", "")) if parts.scheme else url


def session_source(source: Any) -> str | None:
    """SessionMeta.source as text: cli, exec, subagent:review, subagent:thread_spawn, custom:<name>, ..."""
    if type(source) is str or source is None:
        return source
    outer = tag(source)
    inner = mapping(source).get(outer)
    return f"{outer}:{tag(inner)}" if inner is not None else outer


def parent_thread(meta: dict) -> str | None:
    """The thread that spawned this one, where the metadata names it."""
    spawn = mapping(mapping(mapping(meta.get("source")).get("subagent")).get("thread_spawn"))
    return string(meta.get("parent_thread_id")) or string(spawn.get("parent_thread_id"))


def git_detail(git: Any) -> dict:
    git = mapping(git)
    return present(
        commit_hash=string(git.get("commit_hash")),
        branch=string(git.get("branch")),
        repository_url=without_credentials(git.get("repository_url")),
    )


def session_meta(meta: dict, settings: ReadSettings) -> Content:
    """Who and where. The instructions are left out: they are Codex's own and long."""
    detail = present(
        id=string(meta.get("id")),
        timestamp=string(meta.get("timestamp")),
        originator=string(meta.get("originator")),
        cli_version=string(meta.get("cli_version")),
        source=session_source(meta.get("source")),
        model_provider=string(meta.get("model_provider")),
        model=string(meta.get("model")),
        forked_from_id=string(meta.get("forked_from_id")),
        parent_thread_id=parent_thread(meta),
        thread_source=string(meta.get("thread_source")),
        agent_role=string(meta.get("agent_role") or meta.get("agent_type")),
        history_mode=string(meta.get("history_mode")),
        git=git_detail(meta.get("git")),
    )
    return content("session_meta", cwd=plain_path(meta.get("cwd")), detail=detail)


def turn_context(context: dict, settings: ReadSettings) -> Content:
    return content("turn_context", cwd=plain_path(context.get("cwd")), detail=policies(context))


def compaction_boundary(body: dict, settings: ReadSettings) -> Content:
    """A compaction that succeeded. The histories repeat the past and are only counted."""
    detail = present(
        kind=string(body.get("kind")),
        pre_items=len(sequence(body.get("pre_compaction_history"))),
        post_items=len(sequence(body.get("post_compaction_history"))),
    )
    return content(
        "compaction_boundary", text=cut(string(body.get("summary_message")), settings.text_limit), detail=detail
    )


def compacted(body: dict, settings: ReadSettings) -> Content:
    """A rollout's `compacted` line: local with a summary, remote with a replacement history."""
    history = sequence(body.get("replacement_history"))
    detail = {"kind": "remote" if history else "local", "post_items": len(history)}
    text = cut(string(body.get("message")), settings.text_limit) or None
    return content("compaction_boundary", text=text, detail=detail)


def artifact_ref(body: dict, settings: ReadSettings) -> Content:
    detail = present(
        repo_root=string(body.get("repo_root")),
        git=git_detail(body.get("git")),
        base_sha=string(body.get("base_sha")),
        artifact_path=string(body.get("artifact_path")),
        sha256=string(body.get("sha256")),
        shell=string(body.get("shell")),
    )
    return content("artifact_ref", name=string(body.get("kind")), detail=detail)


def bridge(body: dict, settings: ReadSettings) -> Content:
    """A sub-agent's question answered by a person in the parent's thread."""
    detail = {key: string(value) for key, value in body.items() if key not in ("decision", "user_input_response")}
    call_id = string(body.get("parent_call_id"))
    return content("bridge", call_id=call_id, decision=decision_name(body.get("decision")), detail=detail)
