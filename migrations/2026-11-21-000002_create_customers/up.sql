CREATE TABLE customers (
    merchant_id bigint NOT NULL,
    id uuid NOT NULL,
    provider text NOT NULL,
    subject text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT customers_pkey PRIMARY KEY (merchant_id, id),
    CONSTRAINT customers_subject_key UNIQUE (merchant_id, provider, subject),
    CONSTRAINT customers_merchant_fkey FOREIGN KEY (merchant_id) REFERENCES merchants (id)
);
