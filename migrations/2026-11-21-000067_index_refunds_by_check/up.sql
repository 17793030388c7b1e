-- Timers look for what is due, whosever it is, so the time leads.
CREATE INDEX refunds_check_at_index ON refunds (check_at, merchant_id) WHERE state IN ('due', 'submitted');
