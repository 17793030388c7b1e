ALTER TABLE refunds DROP COLUMN request_hash;
