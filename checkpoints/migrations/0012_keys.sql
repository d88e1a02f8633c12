-- Further keys of the API (domain/keys.py): of each only its hash. A revoked one stays, for who reads the audit.
CREATE TABLE api_keys (
    digest text PRIMARY KEY,
    name text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
CREATE UNIQUE INDEX api_keys_name ON api_keys (name) WHERE revoked_at IS NULL;
