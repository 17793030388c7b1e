-- What a key stands for, where the staff asked for the refund under one: the same key with another request is a mistake.
ALTER TABLE refunds ADD COLUMN request_hash bytea;
