-- A customer's account has a customer; any other (a candidate for votes, a waiter for tips) has a name. Votes and points are whole
-- numbers, tips are fen.
CREATE TABLE accounts (
    merchant_id bigint NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    customer_id uuid,
    name text,
    balance bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    CONSTRAINT accounts_pkey PRIMARY KEY (merchant_id, id),
    CONSTRAINT accounts_customer_key UNIQUE (merchant_id, customer_id, kind),
    CONSTRAINT accounts_name_key UNIQUE (merchant_id, kind, name),
    CONSTRAINT accounts_customer_fkey FOREIGN KEY (merchant_id, customer_id) REFERENCES customers (merchant_id, id),
    CONSTRAINT accounts_kind_check CHECK (kind IN ('points', 'votes', 'tips')),
    CONSTRAINT accounts_owner_check CHECK (num_nonnulls(customer_id, name) = 1),
    CONSTRAINT accounts_balance_check CHECK (balance >= 0)
) WITH (fillfactor = 70);
