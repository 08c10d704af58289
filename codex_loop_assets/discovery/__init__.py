"""Discovery: from signals to patterns that keep their identity, and to categories that people promote."""
