-- tokens_from: tokens issued before are no longer good (a changed password or role).
CREATE TABLE staff (
    merchant_id bigint NOT NULL,
    id uuid NOT NULL,
    login text NOT NULL,
    name text NOT NULL,
    password_hash text NOT NULL,
    role text NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    tokens_from timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT staff_pkey PRIMARY KEY (merchant_id, id),
    CONSTRAINT staff_login_key UNIQUE (merchant_id, login),
    CONSTRAINT staff_merchant_fkey FOREIGN KEY (merchant_id) REFERENCES merchants (id),
    CONSTRAINT staff_role_check CHECK (role IN ('owner', 'manager', 'cashier', 'kitchen'))
);
