CREATE INDEX gateway_notices_received_at_index ON gateway_notices (received_at, merchant_id);
