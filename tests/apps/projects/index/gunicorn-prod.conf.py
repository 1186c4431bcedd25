# Index of packages: a proxy asks it over a socket in the file system and hides who its clients are.

import os

bind = f"unix:{os.environ['RUN_FOLDER']}/index.sock"
backlog = 2048
preload_app = True
max_requests = 2048
max_requests_jitter = 128
worker_connections = 1000
timeout = 60
keepalive = 2
errorlog = "-"
loglevel = "info"
accesslog = "-"
access_log_format = '%({Hashed-Client}i)s %(l)s %(u)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
statsd_host = os.getenv("STATSD_HOST")
control_socket_disable = True
