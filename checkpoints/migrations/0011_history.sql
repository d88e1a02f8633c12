-- Whether what the agents of an ended run wrote on their way was dropped. The sweep that does it reads those of which it is not.
ALTER TABLE orchestrator_runs ADD COLUMN history_dropped boolean NOT NULL DEFAULT false;
CREATE INDEX orchestrator_runs_with_history ON orchestrator_runs (updated_at)
    WHERE status IN ('completed', 'cancelled') AND NOT history_dropped;
