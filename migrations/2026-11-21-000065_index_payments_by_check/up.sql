-- Timers look for what is due, whosever it is, so the time leads.
CREATE INDEX payments_check_at_index ON payments (check_at, merchant_id) WHERE check_at IS NOT NULL;
