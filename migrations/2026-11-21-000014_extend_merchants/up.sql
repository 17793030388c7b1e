-- points_per_yuan: how many points pay one yuan, 0 where none are taken. stock_day: the business day of the last daily stock reset.
-- keys_purged_to: up to when orders have been relieved of their idempotency keys.
DO $$
BEGIN
    ALTER TABLE merchants
        ADD COLUMN day_starts_at time NOT NULL DEFAULT '04:00',
        ADD COLUMN auto_accept boolean NOT NULL DEFAULT false,
        ADD COLUMN accept_timeout text NOT NULL DEFAULT 'reject',
        ADD COLUMN customer_cancels boolean NOT NULL DEFAULT true,
        ADD COLUMN points_per_yuan integer NOT NULL DEFAULT 0,
        ADD COLUMN points_earned_per_yuan integer NOT NULL DEFAULT 0,
        ADD COLUMN points_earned_on text NOT NULL DEFAULT 'completed',
        ADD COLUMN webhook_url text,
        ADD COLUMN webhook_secret text,
        ADD COLUMN stock_day date,
        ADD COLUMN keys_purged_to timestamptz;
    ALTER TABLE merchants ADD CONSTRAINT merchants_accept_timeout_check CHECK (accept_timeout IN ('reject', 'accept'));
    ALTER TABLE merchants ADD CONSTRAINT merchants_points_check CHECK (
        points_per_yuan BETWEEN 0 AND 10000 AND points_earned_per_yuan BETWEEN 0 AND 10000
        AND points_earned_on IN ('paid', 'completed'));
    ALTER TABLE merchants ADD CONSTRAINT merchants_webhook_check CHECK ((webhook_url IS NULL) = (webhook_secret IS NULL));
END
$$;
