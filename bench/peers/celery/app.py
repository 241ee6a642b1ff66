"""The Celery side of bench: an app with one trivial task, settings as for production."""

import os

from celery import Celery

url = os.environ["BENCH_REDIS_URL"]
app = Celery("bench", broker=url, backend=url)
app.conf.update(
    # Nothing of another installation on the same Redis is touched.
    broker_transport_options={"global_keyprefix": os.environ["BENCH_PREFIX"]},
    result_backend_transport_options={"global_keyprefix": os.environ["BENCH_PREFIX"]},
    result_expires=3600,
    # A task is a moment's work: fetching some ahead is what the guide recommends for such.
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


@app.task
def step(_before=None):
    """One step: it takes what the step before returned."""
    return 1
