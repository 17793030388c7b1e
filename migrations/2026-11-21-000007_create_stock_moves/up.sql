CREATE TABLE stock_moves (
    merchant_id bigint NOT NULL,
    id uuid NOT NULL,
    goods_id bigint NOT NULL,
    delta integer NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    moved_at timestamptz NOT NULL,
    CONSTRAINT stock_moves_pkey PRIMARY KEY (merchant_id, goods_id, id),
    CONSTRAINT stock_moves_goods_fkey FOREIGN KEY (merchant_id, goods_id) REFERENCES goods (merchant_id, id),
    CONSTRAINT stock_moves_delta_check CHECK (delta <> 0)
);
