DO $$
BEGIN
    ALTER TABLE refunds DROP CONSTRAINT refunds_round_check;
    ALTER TABLE refunds DROP CONSTRAINT refunds_settled_check;
    ALTER TABLE refunds DROP CONSTRAINT refunds_state_check;
    ALTER TABLE refunds ADD CONSTRAINT refunds_state_check CHECK (state IN ('due', 'submitted', 'succeeded', 'abnormal'));
    ALTER TABLE refunds DROP COLUMN trouble;
    ALTER TABLE refunds DROP COLUMN failures;
    ALTER TABLE refunds DROP COLUMN check_at;
    ALTER TABLE refunds DROP COLUMN round;
END
$$;
