-- What was decided lately, by everybody and by one: newest first.
CREATE INDEX hitl_requests_ended ON hitl_requests (resolved_at DESC, request_id DESC) WHERE resolved_at IS NOT NULL;
CREATE INDEX hitl_requests_ended_by ON hitl_requests ((resolved_by->>'id'), resolved_at DESC, request_id DESC) WHERE resolved_at IS NOT NULL;
