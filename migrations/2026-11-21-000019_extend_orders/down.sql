DO $$
BEGIN
    ALTER TABLE orders DROP CONSTRAINT orders_amounts_check;
    ALTER TABLE orders
        DROP COLUMN points_used,
        DROP COLUMN points_amount,
        DROP COLUMN cart_id,
        DROP COLUMN paid_at,
        DROP COLUMN pickup_day,
        DROP COLUMN pickup_no,
        DROP COLUMN promised_at,
        DROP COLUMN nudged_at,
        ALTER COLUMN idempotency_key SET NOT NULL,
        ALTER COLUMN request_hash SET NOT NULL;
    ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_purged_check;
    ALTER TABLE orders ADD CONSTRAINT orders_amounts_check CHECK (goods_amount >= 0 AND freight >= 0 AND total = goods_amount + freight);
END
$$;
