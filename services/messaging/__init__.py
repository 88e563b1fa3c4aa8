"""Messages between people and parties: sealed events, tasks, notices to patients, texts in and out."""
