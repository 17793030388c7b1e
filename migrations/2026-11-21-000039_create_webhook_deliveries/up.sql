CREATE TABLE webhook_deliveries (
    merchant_id bigint NOT NULL,
    seq bigint NOT NULL,
    state text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    last_status integer,
    last_error text,
    delivered_at timestamptz,
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (merchant_id, seq),
    CONSTRAINT webhook_deliveries_event_fkey FOREIGN KEY (merchant_id, seq) REFERENCES events (merchant_id, seq),
    CONSTRAINT webhook_deliveries_state_check CHECK (state IN ('pending', 'delivered', 'parked'))
);
