"""What a laptop needs and production refuses: embedded PostgreSQL and Valkey, supervision, the sandbox, the story."""
