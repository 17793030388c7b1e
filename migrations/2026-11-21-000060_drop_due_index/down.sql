CREATE INDEX webhook_deliveries_due_index ON webhook_deliveries (due_at, merchant_id) WHERE state = 'pending';
