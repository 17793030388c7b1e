CREATE INDEX orders_customer_index ON orders (merchant_id, customer_id, id);
