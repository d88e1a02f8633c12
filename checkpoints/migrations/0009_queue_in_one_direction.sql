-- The queue of paused runs in one direction, so that a page begins behind the last row of the one before by one comparison.
CREATE INDEX orchestrator_runs_in_queue ON orchestrator_runs ((-pending_urgency), pending_since, run_id)
    WHERE status = 'awaiting_hitl' AND pending_urgency IS NOT NULL;
DROP INDEX orchestrator_runs_waiting;
