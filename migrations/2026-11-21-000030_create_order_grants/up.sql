-- What the payment of an order credits, as the goods said when it was placed. Few orders have any, so it is not a column of lines.
-- Without an account it goes to the buyer's own of that kind.
CREATE TABLE order_grants (
    merchant_id bigint NOT NULL,
    order_id uuid NOT NULL,
    goods_id bigint NOT NULL,
    account_id uuid,
    kind text,
    amount bigint NOT NULL,
    CONSTRAINT order_grants_pkey PRIMARY KEY (merchant_id, order_id, goods_id),
    CONSTRAINT order_grants_order_fkey FOREIGN KEY (merchant_id, order_id) REFERENCES orders (merchant_id, id),
    CONSTRAINT order_grants_account_fkey FOREIGN KEY (merchant_id, account_id) REFERENCES accounts (merchant_id, id),
    CONSTRAINT order_grants_owner_check CHECK (num_nonnulls(account_id, kind) = 1),
    CONSTRAINT order_grants_amount_check CHECK (amount > 0)
);
