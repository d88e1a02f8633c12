-- What happened. `hash` is the SHA-256 of the entry before it and this one's body, as it stands here.
CREATE TABLE audit_entries (
    run_id text NOT NULL,
    seq integer NOT NULL,
    body text NOT NULL,
    hash text NOT NULL,
    PRIMARY KEY (run_id, seq)
);
CREATE TABLE audit_tombstones (
    run_id text PRIMARY KEY,
    entries integer NOT NULL,
    head text NOT NULL,
    pruned_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION audit_entries_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (SELECT FROM audit_tombstones WHERE run_id = OLD.run_id) THEN
        RETURN OLD;  -- a whole run is pruned, and its tombstone stands
    END IF;
    RAISE EXCEPTION 'audit entries are append-only: % is refused; a whole run is pruned with `hitl prune`', TG_OP;
END $$;
CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_entries_are_append_only();
CREATE TRIGGER audit_entries_not_truncated BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_are_append_only();

-- The frames of a run's stream. Those of the whole queue's stream get their number there (`queue_seq`) when somebody listens:
-- numbers given inside the transactions would become visible out of order.
CREATE TABLE run_events (
    run_id text NOT NULL REFERENCES orchestrator_runs ON DELETE CASCADE,
    seq integer NOT NULL,
    frame json NOT NULL,
    queue boolean NOT NULL,
    last boolean NOT NULL,              -- the stream of the run ends with it
    at timestamptz NOT NULL,
    queue_seq bigint,
    PRIMARY KEY (run_id, seq)
);
CREATE UNIQUE INDEX run_events_of_queue ON run_events (queue_seq) WHERE queue_seq IS NOT NULL;
CREATE INDEX run_events_to_number ON run_events (at) WHERE queue AND queue_seq IS NULL;
CREATE TABLE queue_counter (last bigint NOT NULL);
INSERT INTO queue_counter VALUES (0);

CREATE TABLE idempotency_keys (
    route text NOT NULL,
    key text NOT NULL,
    body_hash text NOT NULL,
    status integer NOT NULL,
    response json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (route, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
