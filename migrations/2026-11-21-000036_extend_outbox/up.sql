DO $$
BEGIN
    ALTER TABLE outbox
        ADD COLUMN goods_id bigint,
        ADD COLUMN state text,
        ALTER COLUMN order_id DROP NOT NULL;
    ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check;
    ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check CHECK (kind IN (
        'order_placed', 'order_moved', 'order_delayed', 'order_nudged', 'order_collected', 'order_refunded', 'goods_changed'));
    ALTER TABLE outbox ADD CONSTRAINT outbox_subject_check CHECK (num_nonnulls(order_id, goods_id) = 1);
END
$$;
