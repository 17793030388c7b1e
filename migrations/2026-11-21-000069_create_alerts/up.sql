-- What a human must know of, or do: money that did not fit, refunds that do not get through.
CREATE TABLE alerts (
    merchant_id bigint NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    order_id uuid,
    payment_id uuid,
    refund_id uuid,
    detail text NOT NULL,
    raised_at timestamptz NOT NULL,
    resolved_at timestamptz,
    resolved_by text,
    CONSTRAINT alerts_pkey PRIMARY KEY (merchant_id, id),
    CONSTRAINT alerts_resolved_check CHECK (num_nonnulls(resolved_at, resolved_by) IN (0, 2))
);
