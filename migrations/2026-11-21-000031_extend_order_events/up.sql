-- The move tells what was done; from and to are equal where it left the state alone (delay, nudge, collect, refund).
ALTER TABLE order_events
    ADD COLUMN move text NOT NULL,
    ADD COLUMN note text;
