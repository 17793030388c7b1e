CREATE INDEX entries_made_at_index ON entries (merchant_id, account_id, made_at, cause);
