"""The processes that carry work: the relay, one worker per party, and the ticker. RQ stands here and nowhere else."""
