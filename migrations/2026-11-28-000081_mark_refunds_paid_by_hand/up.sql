-- The customer has it, and not from the gateway: that could not go on, and one of the staff paid.
ALTER TABLE refunds ADD COLUMN by_hand boolean NOT NULL DEFAULT false;
