CREATE TABLE order_lines (
    merchant_id bigint NOT NULL,
    order_id uuid NOT NULL,
    goods_id bigint NOT NULL,
    position smallint NOT NULL,
    name_zh text NOT NULL,
    name_en text NOT NULL,
    spec_zh text NOT NULL,
    spec_en text NOT NULL,
    price numeric(12, 2) NOT NULL,
    count integer NOT NULL,
    returned_count integer NOT NULL DEFAULT 0,
    CONSTRAINT order_lines_pkey PRIMARY KEY (merchant_id, order_id, goods_id),
    CONSTRAINT order_lines_order_fkey FOREIGN KEY (merchant_id, order_id) REFERENCES orders (merchant_id, id),
    CONSTRAINT order_lines_goods_fkey FOREIGN KEY (merchant_id, goods_id) REFERENCES goods (merchant_id, id),
    CONSTRAINT order_lines_count_check CHECK (count > 0),
    CONSTRAINT order_lines_returned_check CHECK (returned_count BETWEEN 0 AND count),
    CONSTRAINT order_lines_price_check CHECK (price >= 0)
);
