CREATE INDEX refunds_order_index ON refunds (merchant_id, order_id);
