-- Columns are json, not jsonb: nothing is searched in them, and the order of an agent's keys is kept.
CREATE TABLE orchestrator_runs (
    run_id text PRIMARY KEY,
    thread_id text NOT NULL,
    status text NOT NULL CHECK (status IN ('queued', 'running', 'awaiting_hitl', 'completed', 'failed', 'cancelled')),
    settings json NOT NULL,
    metadata json NOT NULL,
    plan json,
    facets json NOT NULL,
    result json,
    error json,
    request_count integer NOT NULL DEFAULT 0,
    event_count integer NOT NULL DEFAULT 0,
    audit_count integer NOT NULL DEFAULT 0,
    audit_head text NOT NULL DEFAULT '',
    last_update_id text,                -- the last of LangGraph's writes that these rows describe
    pending_urgency smallint,           -- of the most urgent pending question; null: none is pending
    pending_since timestamptz,          -- of the oldest pending question
    claim_token text,                   -- the fence: who drives it may write
    claimed_by text,                    -- the process
    claimed_until timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX orchestrator_runs_one_active_a_thread ON orchestrator_runs (thread_id)
    WHERE status IN ('queued', 'running', 'awaiting_hitl');
CREATE INDEX orchestrator_runs_newest ON orchestrator_runs (created_at DESC, run_id DESC);
CREATE INDEX orchestrator_runs_by_status ON orchestrator_runs (status, created_at DESC, run_id DESC);
CREATE INDEX orchestrator_runs_by_thread ON orchestrator_runs (thread_id, created_at DESC, run_id DESC);
CREATE INDEX orchestrator_runs_waiting ON orchestrator_runs (pending_urgency DESC, pending_since, run_id) WHERE status = 'awaiting_hitl';
CREATE INDEX orchestrator_runs_to_drive ON orchestrator_runs (claimed_until) WHERE status IN ('queued', 'running');
CREATE INDEX orchestrator_runs_claimed ON orchestrator_runs (claimed_by) WHERE claimed_by IS NOT NULL;

CREATE TABLE hitl_requests (
    request_id text PRIMARY KEY,
    run_id text NOT NULL REFERENCES orchestrator_runs ON DELETE CASCADE,
    thread_id text NOT NULL,
    position integer NOT NULL,          -- the order of asking in the run
    status text NOT NULL CHECK (status IN ('pending', 'resolved', 'denied')),
    origin_agent text NOT NULL,
    urgency text NOT NULL,
    request json NOT NULL,             -- what never changes
    denial_reason text,
    settled json,                      -- how it ended, as it goes down to the graph
    resolved_by json,
    resolved_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    expires_at timestamptz,
    delivered_at timestamptz,
    UNIQUE (run_id, position)
);
CREATE INDEX hitl_requests_expiring ON hitl_requests (expires_at) WHERE status = 'pending' AND expires_at IS NOT NULL;
CREATE INDEX hitl_requests_pending ON hitl_requests (run_id, origin_agent, urgency) WHERE status = 'pending';

CREATE TABLE hitl_responses (
    response_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id text NOT NULL REFERENCES hitl_requests ON DELETE CASCADE,
    response json NOT NULL
);
CREATE INDEX hitl_responses_of_request ON hitl_responses (request_id, response_id);
