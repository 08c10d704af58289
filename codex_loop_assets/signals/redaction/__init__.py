"""The one outlet: every text that leaves the tables passes `redact`.

Here: what counts as a secret or as personal, and what stands in its place. Not here: who calls it, and with which text.
"""

from codex_loop_assets.signals.redaction.exceptions import RedactedError, without_secrets
from codex_loop_assets.signals.redaction.redactor import Redactor, redact, redact_many

__all__ = ["RedactedError", "Redactor", "redact", "redact_many", "without_secrets"]
