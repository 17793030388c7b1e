-- The first row of every history said what the order's own row says: placed by the customer at placed_at. A history now begins with
-- the first move.
DO $$
BEGIN
    DELETE FROM order_events;
    ALTER TABLE order_events DROP CONSTRAINT order_events_first_check;
    ALTER TABLE order_events ADD CONSTRAINT order_events_seq_check CHECK (seq > 0);
    ALTER TABLE order_events ALTER COLUMN from_state SET NOT NULL;
END
$$;
