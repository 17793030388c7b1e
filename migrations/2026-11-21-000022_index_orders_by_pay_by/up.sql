-- Timers look for what is due, whosever it is, so the time leads.
CREATE INDEX orders_pay_by_index ON orders (pay_by, merchant_id) WHERE state = 'pending_payment';
