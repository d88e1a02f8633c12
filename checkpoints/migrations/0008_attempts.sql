-- How often the run was claimed since it last got any further: whoever has driven it that often has died of it, or beside it.
ALTER TABLE orchestrator_runs ADD COLUMN attempts integer NOT NULL DEFAULT 0;
