-- The id is what an order names when it is placed from the cart; the cart gets a new one after that.
CREATE TABLE carts (
    merchant_id bigint NOT NULL,
    customer_id uuid NOT NULL,
    id uuid NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT carts_pkey PRIMARY KEY (merchant_id, customer_id),
    CONSTRAINT carts_customer_fkey FOREIGN KEY (merchant_id, customer_id) REFERENCES customers (merchant_id, id)
);
