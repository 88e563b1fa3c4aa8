"""A plain RQ worker that empties one queue and ends: ``python -m tests.bench.plain_worker CLASS QUEUE``."""

import os
import sys

import rq
from redis import Redis
from rq.serializers import JSONSerializer

if __name__ == "__main__":
    worker_class = {"Worker": rq.Worker, "SimpleWorker": rq.SimpleWorker}[sys.argv[1]]
    redis = Redis.from_url(os.environ["REDIS_URL"])
    queue = rq.Queue(sys.argv[2], connection=redis, serializer=JSONSerializer)
    worker_class([queue], connection=redis, serializer=JSONSerializer).work(burst=True, logging_level="ERROR")
