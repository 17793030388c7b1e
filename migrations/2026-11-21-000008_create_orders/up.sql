-- No foreign key to merchants: every placement would take a share lock on that one row. The customer's own key leads there.
-- A customer's orders are found by the first columns of orders_idempotency_key and sorted: they are few, and an index of their own
-- would cost every placement, and tempt the planner to look a key up by reading all of them.
CREATE TABLE orders (
    merchant_id bigint NOT NULL,
    id uuid NOT NULL,
    customer_id uuid NOT NULL,
    idempotency_key text NOT NULL,
    request_hash bytea NOT NULL,
    state text NOT NULL,
    fulfilment text NOT NULL,
    table_no text,
    contact text,
    phone text,
    place text,
    pay_method text NOT NULL,
    goods_amount numeric(14, 2) NOT NULL,
    freight numeric(14, 2) NOT NULL,
    total numeric(14, 2) NOT NULL,
    remark text NOT NULL,
    pay_by timestamptz,
    accept_by timestamptz,
    placed_at timestamptz NOT NULL,
    CONSTRAINT orders_pkey PRIMARY KEY (merchant_id, id),
    CONSTRAINT orders_idempotency_key UNIQUE (merchant_id, customer_id, idempotency_key),
    CONSTRAINT orders_customer_fkey FOREIGN KEY (merchant_id, customer_id) REFERENCES customers (merchant_id, id),
    CONSTRAINT orders_state_check CHECK (state IN (
        'pending_payment', 'pending_accept', 'accepted', 'preparing', 'ready', 'delivering',
        'completed', 'cancelled', 'rejected')),
    CONSTRAINT orders_fulfilment_check CHECK (
        fulfilment = 'dine_in' AND table_no IS NOT NULL AND num_nonnulls(contact, phone, place) = 0
        OR fulfilment = 'pickup' AND num_nonnulls(table_no, contact, phone, place) = 0
        OR fulfilment = 'delivery' AND table_no IS NULL AND num_nonnulls(contact, phone, place) = 3),
    CONSTRAINT orders_amounts_check CHECK (goods_amount >= 0 AND freight >= 0 AND total = goods_amount + freight),
    CONSTRAINT orders_deadline_check CHECK (
        (state <> 'pending_payment' OR pay_by IS NOT NULL) AND (state <> 'pending_accept' OR accept_by IS NOT NULL))
);
