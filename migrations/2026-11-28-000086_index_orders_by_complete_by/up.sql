CREATE INDEX CONCURRENTLY orders_complete_by_index ON orders (complete_by, merchant_id) WHERE state IN ('ready', 'delivering');
