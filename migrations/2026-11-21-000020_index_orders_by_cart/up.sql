-- A cart is placed once: the second order of the same cart meets this key.
CREATE UNIQUE INDEX orders_cart_key ON orders (merchant_id, customer_id, cart_id) WHERE cart_id IS NOT NULL;
