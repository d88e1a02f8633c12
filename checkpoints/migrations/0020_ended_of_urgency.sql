-- Ended questions of one urgency; of a rare one few are among many.
CREATE INDEX hitl_requests_over_of_urgency ON hitl_requests (urgency, created_at DESC, request_id DESC) WHERE status <> 'pending';
