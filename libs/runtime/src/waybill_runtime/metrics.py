"""Every metric there is, with what it tells. Grep this file to know what exists."""

from prometheus_client import Counter, Gauge, Histogram

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

HTTP_SECONDS = Histogram(
    "waybill_http_request_seconds",
    "Time to answer a request.",
    ["method", "route", "status"],
    buckets=_LATENCY_S,
)
HTTP_IN_FLIGHT = Gauge("waybill_http_in_flight", "Requests being answered now.")
HTTP_LIMITED = Counter(
    "waybill_http_limited_total", "Requests turned away with 429, by key or by address.", ["by"]
)
CONSUMED = Counter(
    "waybill_consumed_total",
    "Deliveries taken from the bus: applied, noted, duplicate, parked or fenced.",
    ["outcome"],
)
CONSUME_SECONDS = Histogram(
    "waybill_consume_batch_seconds", "Time to apply one batch.", buckets=_LATENCY_S
)
CONSUME_BATCH = Histogram(
    "waybill_consume_batch_size", "Deliveries applied in one transaction.", buckets=_SIZES
)
CONSUME_FALLBACKS = Counter(
    "waybill_consume_fallbacks_total", "Batches that failed and were applied in parts."
)
CONSUMER_LAG = Gauge(
    "waybill_consumer_lag", "Messages on the bus that are not applied yet.", ["topic"]
)
BUS_TRUNCATED = Counter(
    "waybill_bus_truncated_total", "Partitions whose log ends before what was applied: republish."
)
SET_BACK = Gauge(
    "waybill_store_set_back",
    "Events of ours on the bus that our store does not hold: it was set back, we are halted.",
)
PARKED = Gauge("waybill_parked", "Deliveries that wait for a person.")
PARKED_OLDEST_S = Gauge("waybill_parked_oldest_seconds", "Age of the oldest parked delivery.")
RELAYED = Counter("waybill_relayed_total", "Events sent to the bus.")
RELAY_FAILURES = Counter("waybill_relay_failures_total", "Sends that failed and will be repeated.")
OUTBOX = Gauge("waybill_outbox", "Committed events that are not on the bus yet.")
OUTBOX_OLDEST_S = Gauge("waybill_outbox_oldest_seconds", "Age of the oldest unpublished event.")
JOBS_DUE = Gauge(
    "waybill_jobs_due", "Timers and effects that are due and not done, put off or not.", ["kind"]
)
JOBS_OLDEST_S = Gauge(
    "waybill_jobs_oldest_seconds",
    "How long ago the oldest of them was due; of a poll, since its first look.",
    ["kind"],
)
JOBS_DONE = Counter(
    "waybill_jobs_total", "Jobs carried out: done, again or failed.", ["kind", "outcome"]
)
EFFECT_SECONDS = Histogram(
    "waybill_effect_seconds", "Time of one call outside.", ["kind"], buckets=_LATENCY_S
)
TRANSACTION_RETRIES = Counter(
    "waybill_transaction_retries_total", "Transactions begun again after a conflict.", ["reason"]
)
PART_FAILURES = Counter(
    "waybill_part_failures_total", "Long-running parts that failed and were restarted.", ["part"]
)
PART_FAILING_S = Gauge(
    "waybill_part_failing_seconds", "For how long a part has failed again and again.", ["part"]
)
LOOP_LAG_S = Gauge("waybill_loop_lag_seconds", "How late the event loop ran its last timer.")
TASKS = Gauge("waybill_tasks", "Tasks of the event loop that are not done.")
KAFKA_PRODUCERS_DISCARDED = Counter(
    "waybill_kafka_producers_discarded_total", "Producers thrown away because a send failed."
)
KAFKA_CONSUMERS_REBUILT = Counter(
    "waybill_kafka_consumers_rebuilt_total", "Consumers begun again: broken, or standing still."
)
KAFKA_COMMITS_FAILED = Counter(
    "waybill_kafka_commits_failed_total", "Offsets not told to the broker; the truth is the store."
)
KAFKA_UNDECODABLE = Counter(
    "waybill_kafka_undecodable_total", "Records that no client can decode; each is parked bare."
)
REBUILD_EVENTS = Counter("waybill_rebuild_events_total", "Events replayed by rebuilds.", ["view"])
