-- Two open attempts could both be paid.
CREATE UNIQUE INDEX payments_open_key ON payments (merchant_id, order_id) WHERE state IN ('pending', 'closing');
