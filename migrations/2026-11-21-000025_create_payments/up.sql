-- One attempt to pay an order at a gateway. The gateway's own number for the transaction is unique, so that no payment counts twice.
CREATE TABLE payments (
    merchant_id bigint NOT NULL,
    id uuid NOT NULL,
    order_id uuid NOT NULL,
    gateway text NOT NULL,
    state text NOT NULL,
    amount numeric(14, 2) NOT NULL,
    transaction text,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    CONSTRAINT payments_pkey PRIMARY KEY (merchant_id, id),
    CONSTRAINT payments_transaction_key UNIQUE (merchant_id, gateway, transaction),
    CONSTRAINT payments_order_fkey FOREIGN KEY (merchant_id, order_id) REFERENCES orders (merchant_id, id),
    CONSTRAINT payments_state_check CHECK (state IN (
        'pending', 'closing', 'closed', 'failed', 'paid', 'paid_late', 'paid_duplicate', 'paid_mismatch')),
    CONSTRAINT payments_paid_check CHECK (state NOT LIKE 'paid%' OR num_nonnulls(transaction, settled_at) = 2),
    CONSTRAINT payments_amount_check CHECK (amount > 0)
);
