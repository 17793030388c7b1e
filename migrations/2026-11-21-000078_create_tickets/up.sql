-- The tickets printed of an order: the first is the original, all others are duplicates of it.
CREATE TABLE tickets (
    merchant_id bigint NOT NULL,
    order_id uuid NOT NULL,
    copy integer NOT NULL,
    staff_id uuid NOT NULL,
    printed_at timestamptz NOT NULL,
    CONSTRAINT tickets_pkey PRIMARY KEY (merchant_id, order_id, copy),
    CONSTRAINT tickets_order_fkey FOREIGN KEY (merchant_id, order_id) REFERENCES orders (merchant_id, id),
    CONSTRAINT tickets_staff_fkey FOREIGN KEY (merchant_id, staff_id) REFERENCES staff (merchant_id, id),
    CONSTRAINT tickets_copy_check CHECK (copy > 0)
);
