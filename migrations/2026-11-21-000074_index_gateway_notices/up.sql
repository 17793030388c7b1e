-- Timers look for what is kept, and for what is old, whosever it is, so the time leads.
CREATE INDEX gateway_notices_check_at_index ON gateway_notices (check_at, merchant_id) WHERE outcome = 'kept';
