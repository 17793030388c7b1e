-- Money that goes back. The id is the refund's number at the gateway, the same on every attempt.
CREATE TABLE refunds (
    merchant_id bigint NOT NULL,
    id uuid NOT NULL,
    payment_id uuid NOT NULL,
    order_id uuid NOT NULL,
    state text NOT NULL,
    amount numeric(14, 2) NOT NULL,
    reason text NOT NULL,
    note text,
    actor text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    CONSTRAINT refunds_pkey PRIMARY KEY (merchant_id, id),
    CONSTRAINT refunds_payment_fkey FOREIGN KEY (merchant_id, payment_id) REFERENCES payments (merchant_id, id),
    CONSTRAINT refunds_state_check CHECK (state IN ('due', 'submitted', 'succeeded', 'abnormal')),
    CONSTRAINT refunds_amount_check CHECK (amount > 0)
);
