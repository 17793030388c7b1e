CREATE TABLE cart_lines (
    merchant_id bigint NOT NULL,
    customer_id uuid NOT NULL,
    goods_id bigint NOT NULL,
    count integer NOT NULL,
    is_selected boolean NOT NULL,
    added_at timestamptz NOT NULL,
    CONSTRAINT cart_lines_pkey PRIMARY KEY (merchant_id, customer_id, goods_id),
    CONSTRAINT cart_lines_cart_fkey FOREIGN KEY (merchant_id, customer_id) REFERENCES carts (merchant_id, customer_id),
    CONSTRAINT cart_lines_count_check CHECK (count > 0)
);
