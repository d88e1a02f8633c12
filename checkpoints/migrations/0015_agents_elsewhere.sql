-- Agents in processes of their own, and the steps that are handed to them (domain/assignments.py).
CREATE TABLE hitl_agents (
    capability_id text PRIMARY KEY,
    registration json NOT NULL,
    key_name text, -- of the key that registered it; NULL: of the first one
    registered_at timestamptz NOT NULL DEFAULT now(),
    alive_until timestamptz NOT NULL
);
CREATE TABLE hitl_assignments (
    run_id text NOT NULL REFERENCES orchestrator_runs ON DELETE CASCADE,
    step_id text NOT NULL,
    capability_id text NOT NULL,
    number integer NOT NULL,
    task json NOT NULL,
    answers json,
    told json NOT NULL,
    report json,
    progress json NOT NULL DEFAULT '[]',
    progress_number integer NOT NULL DEFAULT 0,
    home text, -- where the agent keeps the step's thread, once it has begun it
    token text, -- of who works on it
    leased_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, step_id)
);
CREATE INDEX hitl_assignments_open ON hitl_assignments (capability_id, created_at)
    WHERE report IS NULL;
