-- What a call with an Idempotency-Key came to is kept as a value, not as an HTTP reply: {"run": …}, or {"error", "detail", "more"}.
-- A key of before is not forgotten: its call must not be done twice.
ALTER TABLE idempotency_keys ADD COLUMN outcome json NOT NULL
    DEFAULT '{"error": "Conflict", "detail": "This Idempotency-Key was used before the server was updated; look at the run.", "more": {}}';
ALTER TABLE idempotency_keys ALTER COLUMN outcome DROP DEFAULT, DROP COLUMN status, DROP COLUMN response;
