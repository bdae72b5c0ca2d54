"""The store: streams, events, outbox, and all that commits with them."""

from alembic import op

revision = "0001_pre_the_store"
down_revision = None
branch_labels = None
depends_on = None

_STREAMS = (
    """
    CREATE TABLE streams (
        stream text COLLATE "C" PRIMARY KEY,
        tenant text COLLATE "C" NOT NULL,
        category text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        version bigint NOT NULL,
        snapshot json,
        snapshot_version bigint NOT NULL
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)
    """,
    "CREATE INDEX streams_by_category ON streams (category, tenant, stream)",
    """
    CREATE TABLE events (
        stream text COLLATE "C" NOT NULL,
        version bigint NOT NULL,
        event_id text COLLATE "C" NOT NULL,
        tenant text NOT NULL,
        type text NOT NULL,
        topic text NOT NULL,
        key text COLLATE "C" NOT NULL,
        occurred_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now(),
        causation_id text NOT NULL,
        correlation_id text NOT NULL,
        actor text NOT NULL,
        origin text NOT NULL,
        data json NOT NULL,
        PRIMARY KEY (stream, version),
        CONSTRAINT events_event_id_key UNIQUE (event_id)
    )
    """,
    """
    CREATE TABLE outbox (
        position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
        stream text COLLATE "C" NOT NULL,
        version bigint NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now()
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)
    """,
)

_IMMUTABLE = (
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'events are never changed: % refused', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END
    $$
    """,
    """
    CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    "ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_immutable",
)

_CONSUMING = (
    """
    CREATE TABLE consumer_position (
        consumer text COLLATE "C" NOT NULL,
        topic text COLLATE "C" NOT NULL,
        number integer NOT NULL,
        epoch bigint NOT NULL,
        next_offset bigint NOT NULL,
        PRIMARY KEY (consumer, topic, number)
    ) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500)
    """,
    """
    CREATE TABLE inbox (
        consumer text COLLATE "C" NOT NULL,
        source text COLLATE "C" NOT NULL,
        version bigint NOT NULL,
        PRIMARY KEY (consumer, source)
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)
    """,
    """
    CREATE TABLE parked (
        position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
        consumer text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        reason text NOT NULL,
        topic text NOT NULL,
        number integer NOT NULL,
        "offset" bigint NOT NULL,
        headers json NOT NULL,
        value bytea NOT NULL,
        parked_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX parked_by_key ON parked (consumer, key, position)",
)

_JOBS = (
    """
    CREATE TABLE jobs (
        id text COLLATE "C" PRIMARY KEY,
        kind text COLLATE "C" NOT NULL,
        due_at timestamptz NOT NULL,
        ready_at timestamptz NOT NULL,
        payload json NOT NULL,
        attempts integer NOT NULL,
        claim bigint
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)
    """,
    "CREATE INDEX jobs_ready ON jobs (ready_at, kind)",
    "CREATE SEQUENCE job_claims",
)

_DOCUMENTS = (
    """
    CREATE TABLE document (
        view text COLLATE "C" NOT NULL,
        generation integer NOT NULL,
        tenant text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        body json NOT NULL,
        version bigint NOT NULL,
        attributes jsonb NOT NULL,
        PRIMARY KEY (view, generation, tenant, key)
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)
    """,
    """
    CREATE TABLE document_attribute (
        view text COLLATE "C" NOT NULL,
        generation integer NOT NULL,
        tenant text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        value text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        PRIMARY KEY (view, generation, tenant, name, value, key)
    )
    """,
    """
    CREATE TABLE view_generation (
        view text COLLATE "C" PRIMARY KEY,
        live integer NOT NULL
    )
    """,
)

_REQUESTS = (
    """
    CREATE TABLE answers (
        tenant text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        fingerprint text NOT NULL,
        status integer,
        headers json,
        body bytea,
        claimed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, key)
    ) WITH (fillfactor = 60)
    """,
    """
    CREATE TABLE numbers (
        series text COLLATE "C" PRIMARY KEY,
        next bigint NOT NULL
    ) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500)
    """,
)


def upgrade() -> None:
    for statement in (*_STREAMS, *_IMMUTABLE, *_CONSUMING, *_JOBS, *_DOCUMENTS, *_REQUESTS):
        op.execute(statement)
