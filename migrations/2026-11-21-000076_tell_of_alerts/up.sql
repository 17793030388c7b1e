-- An alert may be about money that belongs to no order.
DO $$
BEGIN
    ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check;
    ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check CHECK (kind IN (
        'order_placed', 'order_moved', 'order_delayed', 'order_nudged', 'order_collected', 'order_refunded', 'refund_settled',
        'goods_changed', 'alert_raised'));
    ALTER TABLE outbox DROP CONSTRAINT outbox_subject_check;
    ALTER TABLE outbox ADD CONSTRAINT outbox_subject_check CHECK (
        num_nonnulls(order_id, goods_id) = 1 OR kind = 'alert_raised' AND goods_id IS NULL);
END
$$;
