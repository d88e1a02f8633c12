-- Who is told of the queue's frames, each a cursor over them (domain/webhooks.py).
CREATE TABLE webhook_endpoints (
    endpoint_id text PRIMARY KEY,
    url text NOT NULL,
    secret text NOT NULL,
    events text[] NOT NULL, -- types, or their beginnings; empty: all
    run_id text REFERENCES orchestrator_runs ON DELETE CASCADE, -- of a callback: told once, of its end
    cursor bigint NOT NULL, -- the number of the last frame that was told, or is not to be
    attempts integer NOT NULL DEFAULT 0, -- of the next one, in vain
    next_try_at timestamptz NOT NULL DEFAULT now(),
    last_error text,
    lease_token text,
    leased_until timestamptz,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE webhook_dead_letters (
    endpoint_id text NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    seq bigint NOT NULL,
    why text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (endpoint_id, seq)
);
CREATE INDEX webhook_endpoints_of_run ON webhook_endpoints (run_id) WHERE run_id IS NOT NULL;
