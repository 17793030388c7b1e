DO $$
BEGIN
    ALTER TABLE order_events ALTER COLUMN from_state DROP NOT NULL;
    ALTER TABLE order_events DROP CONSTRAINT order_events_seq_check;
    DELETE FROM order_events;
    ALTER TABLE order_events ADD CONSTRAINT order_events_first_check CHECK ((seq = 1) = (from_state IS NULL) AND seq > 0);
    INSERT INTO order_events (merchant_id, order_id, seq, from_state, to_state, actor, happened_at)
        SELECT merchant_id, id, 1, NULL, state, 'customer', placed_at FROM orders;
END
$$;
