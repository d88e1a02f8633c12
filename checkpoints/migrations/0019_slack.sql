-- Where in Slack a question is shown, to be rewritten once it has ended.
CREATE TABLE slack_messages (
    request_id text PRIMARY KEY REFERENCES hitl_requests ON DELETE CASCADE,
    channel text NOT NULL,
    ts text NOT NULL -- Slack's id of a message, in its channel
);
