-- The first delivery of a merchant that is neither made nor given up: the only one that can be due.
CREATE INDEX webhook_deliveries_pending_index ON webhook_deliveries (merchant_id, seq) WHERE state = 'pending';
