"""The local judge on moments planted in six languages and on their near-misses, in sentences it was not trained on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_loop_assets.signals.judges.base import verify
from codex_loop_assets.signals.judges.local import LocalJudge
from codex_loop_assets.signals.schema import load_schema
from codex_loop_assets_tests.signals.judges.conversation import transcript

SCHEMA = load_schema()
JUDGE = LocalJudge()
WITH_PRAISE = LocalJudge(categories={"categories": {"positive_feedback": {"by": "model"}}})
FRICTION = {name for name, category in SCHEMA.semantic().items() if category.type == "friction"}


def found(*pairs: tuple[str, str], judge: LocalJudge = JUDGE) -> list[set[str]]:
    """Categories per message."""
    session = transcript(pairs)
    findings, rejected = verify(judge.judge(session, SCHEMA).findings, session, SCHEMA)
    assert rejected == 0
    return [{item.category for item in findings if item.seq_start == turn.seq_start} for turn in session.turns]


REPEATED = {
    "en": [
        ("the avatar upload should accept gif files", "Added gif to the accepted types in upload.ts."),
        ("still rejects gif files", "The server checked the type too; it was missing there. Fixed."),
    ],
    "de": [
        ("der upload soll auch gif dateien annehmen", "gif in upload.ts ergänzt."),
        ("gif wird immer noch abgelehnt", "Der Server prüfte auch; dort fehlte gif. Korrigiert."),
    ],
    "fr": [
        ("l'envoi d'avatar doit accepter les gif", "gif ajouté dans upload.ts."),
        ("les gif sont toujours refusés", "Le serveur vérifiait aussi, il manquait gif. Corrigé."),
    ],
    "es": [
        ("la subida de avatar tiene que aceptar gif", "Agregué gif en upload.ts."),
        ("sigue rechazando los gif", "El servidor también lo comprobaba y faltaba gif. Corregido."),
    ],
    "zh": [
        ("头像上传要支持 gif", "已在 upload.ts 里添加 gif。"),
        ("gif 还是传不上去", "服务端也有校验，漏了 gif，已修复。"),
    ],
    "ja": [
        ("アバターのアップロードでgifも使えるように", "upload.ts に gif を追加しました。"),
        ("gifはまだ拒否されます", "サーバー側の確認に gif がなかったため、修正しました。"),
    ],
}
CORRECTED = {
    "en": ("no, I meant the invoice table, not the order table", "You're right, I changed the wrong table. Moved."),
    "de": ("nein, ich meinte die Rechnungstabelle und nicht die Bestellungen", "Stimmt, mein Fehler. Zurückgesetzt."),
    "fr": ("non, je parlais de la table des factures, pas des commandes", "En effet, désolé. Rétabli et déplacé."),
    "es": ("no, me refería a la tabla de facturas, no a la de pedidos", "Tienes razón, perdón. Restaurado."),
    "zh": ("不对，我说的是发票表，不是订单表", "抱歉，我理解错了，已改回并改到发票表。"),
    "ja": ("違います、注文テーブルではなく請求テーブルのほうです", "申し訳ありません、間違えました。戻しました。"),
}
UNDONE = {
    "en": ("revert that, I want the old sidebar back", "Reverted, the old sidebar is back."),
    "de": ("mach das rückgängig, ich will die alte Seitenleiste zurück", "Zurückgesetzt, die alte ist wieder da."),
    "fr": ("annule tout ça, remets l'ancienne barre comme avant", "Annulé, l'ancienne barre est rétablie."),
    "es": ("deshaz eso, vuelve a la barra anterior como estaba", "Revertido, la barra anterior está restaurada."),
    "zh": ("全部还原，恢复成原来的侧边栏", "已还原到原来的侧边栏。"),
    "ja": ("全部取り消して、前のサイドバーに戻してください", "元に戻しました。"),
}
PLEASED = {
    "en": ("wow, works perfectly now, thank you so much, great job!", "Glad to hear that."),
    "de": ("perfekt, läuft super, vielen Dank, großartig!", "Freut mich."),
    "fr": ("parfait, ça marche super bien, merci beaucoup, bravo !", "Avec plaisir."),
    "es": ("perfecto, quedó genial, muchas gracias, excelente!", "De nada, me alegro."),
    "zh": ("完美，太好了，谢谢你，真厉害！", "很高兴有用。"),
    "ja": ("完璧です、すごく助かりました、ありがとうございます！", "よかったです。"),
}
OPENING = ("change the sidebar so that it shows the totals of the table", "Changed the sidebar and added the totals.")


@pytest.mark.parametrize("language", REPEATED)
def test_a_failure_reported_after_a_claimed_fix_is_a_repeated_request(language: str) -> None:
    assert "repeated_rephrasing" in found(*REPEATED[language])[1]


@pytest.mark.parametrize("language", CORRECTED)
def test_a_rejected_assumption_is_a_correction(language: str) -> None:
    assert "correction" in found(OPENING, CORRECTED[language])[1]


@pytest.mark.parametrize("language", UNDONE)
def test_a_wish_to_undo_the_agents_work_is_backtracking(language: str) -> None:
    assert "backtracking" in found(OPENING, UNDONE[language])[1]


@pytest.mark.parametrize("language", PLEASED)
def test_praise_is_positive_feedback_and_no_friction(language: str) -> None:
    assert found(OPENING, PLEASED[language], judge=WITH_PRAISE)[1] == {"positive_feedback"}
    assert not found(OPENING, PLEASED[language])[1] & FRICTION


def test_surprise_at_the_tools_limits_is_platform_confusion() -> None:
    shown = found(
        ("download the fonts and add them", "I could not download them: the sandbox has no network access."),
        ("why can't you use the internet? how do I allow that", "Approve the command, or change the approval mode."),
    )
    assert "platform_confusion" in shown[1]


def test_giving_up_after_failures_is_an_abandoned_task() -> None:
    shown = found(
        ("get the ios build signed in ci", "Added a signing step."),
        ("signing fails with the same message", "The profile was missing; added."),
        ("forget it, I'll sign it by hand, not worth more time", "Okay, I left the step out."),
    )
    assert "abandoned_task" in shown[2]


def test_a_pasted_error_that_comes_back_is_a_repeated_request() -> None:
    error = "Error: connect ECONNREFUSED 127.0.0.1:5432\n    at TCPConnectWrap.afterConnect (node:net:1494:16)"
    shown = found(
        (f"the worker dies\n{error}", "The port was wrong, I changed it to 5432."),
        (error, "The database was not started before; I added a wait."),
    )
    assert "repeated_rephrasing" in shown[1]


@pytest.mark.parametrize(
    "session",
    [
        [OPENING, ("ok", "Anything else?"), ("commit and push", "Pushed."), ("thanks", "You're welcome.")],
        [OPENING, ("why isn't this a constant?", "It is reassigned by the loader in line 40.")],
        [OPENING, ("same for the orders page", "Added there too."), ("and for invoices", "Added.")],
        [("add an undo button, disabled while there is nothing to undo", "Added with a test.")],
        [OPENING, ("the label must read \"It's still broken!!\", exactly so", "Set the label.")],
        [OPENING, ("sorry, my mistake, it should be 20 and not 10", "Changed to 20.")],
        [("write tests first, they should all fail for now", "12 tests, all red."), ("good, implement it", "Green.")],
        [OPENING, ("继续", "已完成第二步。"), ("好的", "还有其他吗？")],
        [OPENING, ("続けて", "完了しました。"), ("ok", "はい。")],
        [OPENING, ("weiter", "Punkt 2 erledigt."), ("danke", "Gerne.")],
    ],
    ids=[
        "routine", "code question", "same for others", "undo feature", "quoted words", "own mistake", "meant to fail",
        "zh", "ja", "de",
    ],
)  # fmt: skip
def test_ordinary_requests_show_no_friction(session: list[tuple[str, str]]) -> None:
    assert not set().union(*found(*session)) & FRICTION


def test_the_words_of_a_log_are_not_the_words_of_the_user() -> None:
    log = "2026-01-04T10:12:02Z ERROR wtf, this is still wrong again, revert it, forget it\n" * 3
    assert not found((f"which line is the slow one?\n{log}", "The second one."))[0] & FRICTION


def test_words_of_a_machine_are_not_judged() -> None:
    session = transcript([*REPEATED["en"]], human=False)
    assert JUDGE.judge(session, SCHEMA).findings == ()


def test_the_same_session_gets_the_same_answer() -> None:
    session = transcript(REPEATED["en"])
    assert JUDGE.judge(session, SCHEMA) == LocalJudge().judge(session, SCHEMA)


def test_a_retired_category_is_not_looked_for() -> None:
    schema = load_schema([{"kind": "retire", "category_name": "repeated_rephrasing"}])
    findings = JUDGE.judge(transcript(REPEATED["en"]), schema).findings
    assert "repeated_rephrasing" not in {item.category for item in findings}


def test_a_description_is_one_english_line_with_the_words_of_the_user() -> None:
    finding = next(iter(JUDGE.judge(transcript(REPEATED["de"]), SCHEMA).findings))
    assert finding.description.startswith("The user asks again")
    assert "gif wird immer noch abgelehnt" in finding.description
    assert "\n" not in finding.description


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=80), st.text(max_size=80)), max_size=5))
def test_any_session_can_be_judged_and_every_finding_has_its_evidence(pairs: list[tuple[str, str]]) -> None:
    session = transcript(pairs)
    findings = JUDGE.judge(session, SCHEMA).findings
    assert verify(findings, session, SCHEMA)[1] == 0
    assert all(0 <= item.confidence <= 1 for item in findings)
