CREATE INDEX alerts_open_index ON alerts (merchant_id, id) WHERE resolved_at IS NULL;
