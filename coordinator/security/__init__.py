"""Who may come in: bearer tokens, second factor, rate limits, response headers."""
