-- Runs by what their callers noted with them; few note anything.
CREATE INDEX orchestrator_runs_of_metadata ON orchestrator_runs USING gin ((metadata::jsonb) jsonb_path_ops)
    WHERE metadata::text <> '{}';
