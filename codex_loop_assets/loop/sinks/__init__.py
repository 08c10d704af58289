"""Where tickets go: Markdown files, GitHub Issues, a Slack-compatible webhook.

What belongs here: delivering a ticket that was built and checked. What does not: deciding what a ticket says.

All sinks keep three rules: nothing is sent unless `dry_run` is switched off; what was delivered once is not delivered
again; and every text passes the redaction outlet once more on its way out.
"""
