CREATE TABLE addresses (
    merchant_id bigint NOT NULL,
    id uuid NOT NULL,
    customer_id uuid NOT NULL,
    contact text NOT NULL,
    phone text NOT NULL,
    place text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT addresses_pkey PRIMARY KEY (merchant_id, customer_id, id),
    CONSTRAINT addresses_customer_fkey FOREIGN KEY (merchant_id, customer_id) REFERENCES customers (merchant_id, id)
);
