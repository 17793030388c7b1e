-- The outbox's rows with the number under which subscribers know them: 1, 2, 3 for each merchant, given after they are committed, so
-- that nobody who has read up to a number has missed a smaller one.
CREATE TABLE events (
    merchant_id bigint NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    order_id uuid,
    goods_id bigint,
    state text,
    happened_at timestamptz NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (merchant_id, seq)
);
