CREATE INDEX orders_accept_by_index ON orders (accept_by, merchant_id) WHERE state = 'pending_accept';
