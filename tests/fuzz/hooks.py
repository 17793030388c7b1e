"""What schemathesis is to do otherwise."""

import schemathesis


def whole(value):
    """JSON Schema counts 2.0 among the integers. Nobody writes a number of dumplings like that, and the service does not read it."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value


@schemathesis.hook
def map_body(context, body):
    return whole(body)
