-- cart_id: the cart an order was placed from, once. A purged order has neither key nor hash.
DO $$
BEGIN
    ALTER TABLE orders
        ADD COLUMN points_used bigint NOT NULL DEFAULT 0,
        ADD COLUMN points_amount numeric(14, 2) NOT NULL DEFAULT 0,
        ADD COLUMN cart_id uuid,
        ADD COLUMN paid_at timestamptz,
        ADD COLUMN pickup_day date,
        ADD COLUMN pickup_no integer,
        ADD COLUMN promised_at timestamptz,
        ADD COLUMN nudged_at timestamptz,
        ALTER COLUMN idempotency_key DROP NOT NULL,
        ALTER COLUMN request_hash DROP NOT NULL;
    ALTER TABLE orders DROP CONSTRAINT orders_amounts_check;
    ALTER TABLE orders ADD CONSTRAINT orders_amounts_check CHECK (
        goods_amount >= 0 AND freight >= 0 AND points_used >= 0 AND points_amount >= 0 AND total >= 0
        AND total = goods_amount + freight - points_amount);
    ALTER TABLE orders ADD CONSTRAINT orders_pickup_check CHECK ((pickup_no IS NULL) = (pickup_day IS NULL) AND pickup_no > 0);
    ALTER TABLE orders ADD CONSTRAINT orders_purged_check CHECK ((idempotency_key IS NULL) = (request_hash IS NULL));
END
$$;
