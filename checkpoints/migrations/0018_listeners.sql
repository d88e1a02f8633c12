-- Who is told by this server's own programs (notices), not by POSTs: only by servers whose settings name it.
ALTER TABLE webhook_endpoints ADD COLUMN is_listener boolean NOT NULL DEFAULT false;
