DO $$
BEGIN
    ALTER TABLE payments DROP CONSTRAINT payments_open_check;
    ALTER TABLE payments DROP CONSTRAINT payments_state_check;
    ALTER TABLE payments ADD CONSTRAINT payments_state_check CHECK (state IN (
        'pending', 'closing', 'closed', 'failed', 'paid', 'paid_late', 'paid_duplicate', 'paid_mismatch'));
    ALTER TABLE payments DROP COLUMN fence;
    ALTER TABLE payments DROP COLUMN attempt_id;
    ALTER TABLE payments DROP COLUMN checks;
    ALTER TABLE payments DROP COLUMN check_at;
    ALTER TABLE payments DROP COLUMN expires_at;
    ALTER TABLE payments DROP COLUMN channel;
END
$$;
