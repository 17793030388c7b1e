-- An attempt that is open: where the customer pays, until when, and when the gateway is asked next. `fence` is the greatest token of the
-- leases under which it was being closed. Money that came under the number of an attempt that had its money already is a payment of its
-- own, which names the attempt.
DO $$
BEGIN
    ALTER TABLE payments ADD COLUMN channel text;
    ALTER TABLE payments ADD COLUMN expires_at timestamptz;
    ALTER TABLE payments ADD COLUMN check_at timestamptz;
    ALTER TABLE payments ADD COLUMN checks integer NOT NULL DEFAULT 0;
    ALTER TABLE payments ADD COLUMN attempt_id uuid;
    ALTER TABLE payments ADD COLUMN fence bigint NOT NULL DEFAULT 0;
    ALTER TABLE payments DROP CONSTRAINT payments_state_check;
    ALTER TABLE payments ADD CONSTRAINT payments_state_check CHECK (state IN (
        'pending', 'closing', 'closed', 'paid', 'paid_late', 'paid_duplicate', 'paid_mismatch'));
    ALTER TABLE payments ADD CONSTRAINT payments_open_check
        CHECK (state NOT IN ('pending', 'closing') OR num_nonnulls(channel, expires_at, check_at) = 3);
END
$$;
