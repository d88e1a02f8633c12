-- The list of all questions is read in this order: those that wait as the queue has them, the others newest first.
-- The number of an urgency is the one of checkpoints/requests.py, or the index is not used.
CREATE INDEX hitl_requests_waiting ON hitl_requests
    ((CASE urgency WHEN 'high' THEN -2 WHEN 'normal' THEN -1 ELSE 0 END), created_at, request_id) WHERE status = 'pending';
CREATE INDEX hitl_requests_over ON hitl_requests (created_at DESC, request_id DESC) WHERE status <> 'pending';
