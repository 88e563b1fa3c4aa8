"""Who takes part: organisations, accounts, practitioners, patients, episodes of care, and who may do what."""
