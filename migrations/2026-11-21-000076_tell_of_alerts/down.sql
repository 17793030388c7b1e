DO $$
BEGIN
    DELETE FROM outbox WHERE kind IN ('refund_settled', 'alert_raised');
    ALTER TABLE outbox DROP CONSTRAINT outbox_subject_check;
    ALTER TABLE outbox ADD CONSTRAINT outbox_subject_check CHECK (num_nonnulls(order_id, goods_id) = 1);
    ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check;
    ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check CHECK (kind IN (
        'order_placed', 'order_moved', 'order_delayed', 'order_nudged', 'order_collected', 'order_refunded', 'goods_changed'));
END
$$;
