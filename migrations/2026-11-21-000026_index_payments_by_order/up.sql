CREATE INDEX payments_order_index ON payments (merchant_id, order_id);
