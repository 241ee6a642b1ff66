"""The load generator for Celery: BENCH_REDIS_URL and BENCH_PREFIX in the environment.

Each line of the input asks for one load, {"steps", "in_flight", "warm_up_ms", "window_ms"}. The output
says {"window":"open"} when the warm-up is over, then {"window":"closed"} and {"micros"} of what ended inside.
One thread: results arrive over the Redis backend's pub/sub and call back, so waiting costs no thread.
"""

import json
import sys
import time

from celery import chain, uuid

from app import app, step


def say(**fields):
    print(json.dumps(fields), flush=True)


def load(steps, in_flight, warm_up_ms, window_ms):
    opens = time.perf_counter() + warm_up_ms / 1000
    closes = opens + window_ms / 1000
    micros, flying = [], 0
    opened = closed = False
    ended = []

    def start():
        began = time.perf_counter()
        last = uuid()
        # Subscribed before the task exists: its end could be told before the answer to its creation.
        app.AsyncResult(last).then(lambda result: ended.append((began, time.perf_counter(), result)))
        if steps == 1:
            step.apply_async(task_id=last)
        else:
            chain(*(step.s() for _ in range(steps - 1)), step.s().set(task_id=last)).apply_async()

    while True:
        now = time.perf_counter()
        if not opened and now >= opens:
            opened = True
            say(window="open")
        if not closed and now >= closes:
            closed = True
            say(window="closed")
        while flying < in_flight and not closed:
            start()
            flying += 1
        if flying == 0:
            break
        if not ended:
            wait = (closes if opened else opens) - time.perf_counter()
            app.backend.result_consumer.drain_events(timeout=max(0.001, wait) if not closed else 1)
        for began, end, result in ended:
            flying -= 1
            if not result.successful():
                raise RuntimeError(f"a task ended {result.state}: {result.result}")
            if opens <= end < closes:
                micros.append(round((end - began) * 1e6))
        ended.clear()
    say(micros=micros)


# The worker is there when it has done a first task.
step.delay().get(timeout=50)
say(ready=True)
for line in sys.stdin:
    load(**json.loads(line))
