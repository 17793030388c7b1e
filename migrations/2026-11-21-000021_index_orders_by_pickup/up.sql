CREATE UNIQUE INDEX orders_pickup_key ON orders (merchant_id, pickup_day, pickup_no) WHERE pickup_no IS NOT NULL;
