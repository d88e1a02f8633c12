-- What a run needs of the process that drives it: ids of capabilities, and `id@fingerprint` of the agents whose questions wait
-- (domain/needs.py). `held`: no agent that is plugged in fits.
ALTER TABLE orchestrator_runs ADD COLUMN needs text[] NOT NULL DEFAULT '{}', ADD COLUMN held json;
ALTER TABLE hitl_requests ADD COLUMN agent_fingerprint text NOT NULL DEFAULT '';
-- Runs of before need the agents of the steps that are not done; whoever has those looks at what waits.
UPDATE orchestrator_runs r SET needs = ARRAY(
    SELECT DISTINCT step->>'capabilityId' FROM json_array_elements(r.plan->'steps') step
        WHERE step->>'status' IN ('pending', 'running', 'awaiting_hitl')
    UNION SELECT q.origin_agent || '@' FROM hitl_requests q
        WHERE q.run_id = r.run_id AND q.delivered_at IS NULL AND (q.status = 'pending' OR q.settled IS NOT NULL))
    WHERE status IN ('queued', 'running', 'awaiting_hitl') AND json_typeof(plan) = 'object';
CREATE INDEX orchestrator_runs_held ON orchestrator_runs (run_id) WHERE held IS NOT NULL;

-- The processes that live, each with its agents; a row is kept alive by its heartbeat.
CREATE TABLE hitl_processes (
    process_id text PRIMARY KEY,
    offers text[] NOT NULL,
    drives boolean NOT NULL,
    alive_until timestamptz NOT NULL
);
