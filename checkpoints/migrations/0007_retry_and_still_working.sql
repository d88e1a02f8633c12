-- A retry that was ordered, until the graph has begun again.
ALTER TABLE orchestrator_runs ADD COLUMN retrying boolean NOT NULL DEFAULT false;
-- The process whose work on the run went on when the run stopped, and how long it is known to live. Until it says that the work
-- has ended, or has died, the thread takes no other run.
ALTER TABLE orchestrator_runs ADD COLUMN working_by text, ADD COLUMN working_until timestamptz;
DROP INDEX orchestrator_runs_one_active_a_thread;
CREATE UNIQUE INDEX orchestrator_runs_one_active_a_thread ON orchestrator_runs (thread_id)
    WHERE status IN ('queued', 'running', 'awaiting_hitl') OR working_until IS NOT NULL;
