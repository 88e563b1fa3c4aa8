"""Ground that every other package stands on: configuration, database, clock, ids, errors, states, settings."""
