CREATE TABLE order_events (
    merchant_id bigint NOT NULL,
    order_id uuid NOT NULL,
    seq integer NOT NULL,
    from_state text,
    to_state text NOT NULL,
    actor text NOT NULL,
    reason text,
    happened_at timestamptz NOT NULL,
    CONSTRAINT order_events_pkey PRIMARY KEY (merchant_id, order_id, seq),
    CONSTRAINT order_events_order_fkey FOREIGN KEY (merchant_id, order_id) REFERENCES orders (merchant_id, id),
    CONSTRAINT order_events_first_check CHECK ((seq = 1) = (from_state IS NULL) AND seq > 0)
);
