"""What schemathesis changes in a request before it sends it."""

import re
import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    """What no schema can say of a request that is meant to be taken.

    A cursor is opaque, and only one that the list gave is one. A key that may be one is a new one: under one
    that came before, another body is refused, rightly.
    """
    if case.meta and case.meta.generation.mode.value == "positive" and case.query:
        case.query.pop("cursor", None)
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]{1,200}", key):
        case.headers["Idempotency-Key"] = key + uuid.uuid4().hex
