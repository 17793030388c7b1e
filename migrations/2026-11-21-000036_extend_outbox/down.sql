DO $$
BEGIN
    DELETE FROM outbox WHERE kind <> 'order_placed';
    ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check;
    ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check CHECK (kind IN ('order_placed'));
    ALTER TABLE outbox
        DROP COLUMN goods_id,
        DROP COLUMN state,
        ALTER COLUMN order_id SET NOT NULL;
END
$$;
