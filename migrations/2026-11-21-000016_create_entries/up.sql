-- The cause is what makes an entry happen once: 'order <id> spent', 'correction <key>'.
CREATE TABLE entries (
    merchant_id bigint NOT NULL,
    account_id uuid NOT NULL,
    cause text NOT NULL,
    delta bigint NOT NULL,
    balance bigint NOT NULL,
    order_id uuid,
    actor text NOT NULL,
    reason text,
    made_at timestamptz NOT NULL,
    CONSTRAINT entries_pkey PRIMARY KEY (merchant_id, account_id, cause),
    CONSTRAINT entries_account_fkey FOREIGN KEY (merchant_id, account_id) REFERENCES accounts (merchant_id, id),
    CONSTRAINT entries_delta_check CHECK (delta <> 0),
    CONSTRAINT entries_balance_check CHECK (balance >= 0)
);
