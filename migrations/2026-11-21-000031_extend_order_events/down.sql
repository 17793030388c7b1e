ALTER TABLE order_events
    DROP COLUMN move,
    DROP COLUMN note;
