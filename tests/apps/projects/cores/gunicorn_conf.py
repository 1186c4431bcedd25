# Cores: all settings come from the environment, and the number of workers from that of the processors.

import json
import multiprocessing
import os

per_core = float(os.getenv("WORKERS_PER_CORE", "1"))
wanted = os.getenv("WEB_CONCURRENCY")
host, port = os.getenv("HOST", "0.0.0.0"), os.getenv("PORT", "80")
cores = multiprocessing.cpu_count()
if wanted:
    web_concurrency = int(wanted)
    assert web_concurrency > 0
else:
    web_concurrency = max(int(per_core * cores), 2)
    if most := os.getenv("MAX_WORKERS"):
        web_concurrency = min(web_concurrency, int(most))

bind = os.getenv("BIND") or f"{host}:{port}"
workers = web_concurrency
worker_class = os.getenv("WORKER_CLASS", "uvicorn.workers.UvicornWorker")
worker_tmp_dir = "/dev/shm"
loglevel = os.getenv("LOG_LEVEL", "info")
errorlog = os.getenv("ERROR_LOG", "-") or None
accesslog = os.getenv("ACCESS_LOG", "-") or None
timeout = int(os.getenv("TIMEOUT", "120"))
graceful_timeout = int(os.getenv("GRACEFUL_TIMEOUT", "120"))
keepalive = int(os.getenv("KEEP_ALIVE", "5"))

print(
    json.dumps({"workers": workers, "timeout": timeout, "keepalive": keepalive, "per_core": per_core}),
    flush=True,
)
