-- What ended when: a prune reads a batch, not all runs.
CREATE INDEX orchestrator_runs_ended ON orchestrator_runs (updated_at) WHERE status IN ('completed', 'failed', 'cancelled');
-- The lists of questions, of one agent, and of those that were refused: few among many are found without reading the many.
CREATE INDEX hitl_requests_waiting_of_agent ON hitl_requests
    (origin_agent, (CASE urgency WHEN 'high' THEN -2 WHEN 'normal' THEN -1 ELSE 0 END), created_at, request_id) WHERE status = 'pending';
CREATE INDEX hitl_requests_over_of_agent ON hitl_requests (origin_agent, created_at DESC, request_id DESC) WHERE status <> 'pending';
CREATE INDEX hitl_requests_denied ON hitl_requests (created_at DESC, request_id DESC) WHERE status = 'denied';
