-- Which questions of agents elsewhere a limit counts together (domain/outside.py).
CREATE TABLE hitl_groups (
    name text NOT NULL,
    run_id text NOT NULL REFERENCES orchestrator_runs ON DELETE CASCADE,
    PRIMARY KEY (name, run_id)
);
CREATE INDEX hitl_groups_of_run ON hitl_groups (run_id);
