-- `round` makes the refund's number at the gateway another one, after the gateway has given up on the one before. `attempts` counts the
-- calls since a human last put it in, and is the token of whoever makes one; `failures`, those since the gateway last said that it goes on.
DO $$
BEGIN
    ALTER TABLE refunds ADD COLUMN round integer NOT NULL DEFAULT 1;
    ALTER TABLE refunds ADD COLUMN check_at timestamptz NOT NULL DEFAULT now();
    ALTER TABLE refunds ADD COLUMN failures integer NOT NULL DEFAULT 0;
    ALTER TABLE refunds ADD COLUMN trouble text;
    ALTER TABLE refunds DROP CONSTRAINT refunds_state_check;
    ALTER TABLE refunds ADD CONSTRAINT refunds_state_check
        CHECK (state IN ('due', 'submitted', 'succeeded', 'failed', 'abnormal'));
    ALTER TABLE refunds ADD CONSTRAINT refunds_settled_check CHECK ((state = 'succeeded') = (settled_at IS NOT NULL));
    ALTER TABLE refunds ADD CONSTRAINT refunds_round_check CHECK (round > 0);
END
$$;
