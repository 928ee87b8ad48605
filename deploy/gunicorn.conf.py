"""Gunicorn for production: gunicorn -c deploy/gunicorn.conf.py config.wsgi:application

One blocking thread a worker: a check is one statement, and more threads only make them wait for each other.
"""

import multiprocessing

bind = "127.0.0.1:8000"
workers = multiprocessing.cpu_count() * 2
worker_class = "sync"
max_requests = 50_000
max_requests_jitter = 5_000
timeout = 60
keepalive = 5
accesslog = None  # addresses of requests carry no personal data, and are still nobody's business
control_socket_disable = True  # nobody steers it but the system's service manager
