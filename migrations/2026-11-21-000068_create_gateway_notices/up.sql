-- The callback inbox: every verified notice that money came in, once, with what became of it. One for a payment that is not known is kept
-- until it is, or until nobody expects it any more.
CREATE TABLE gateway_notices (
    merchant_id bigint NOT NULL,
    gateway text NOT NULL,
    id text NOT NULL,
    number text NOT NULL,
    transaction text NOT NULL,
    amount numeric(14, 2) NOT NULL,
    body text NOT NULL,
    outcome text NOT NULL,
    received_at timestamptz NOT NULL,
    check_at timestamptz,
    CONSTRAINT gateway_notices_pkey PRIMARY KEY (merchant_id, gateway, id),
    CONSTRAINT gateway_notices_outcome_check CHECK (outcome IN (
        'kept', 'unknown', 'known_before', 'paid', 'paid_late', 'paid_duplicate', 'paid_mismatch')),
    CONSTRAINT gateway_notices_kept_check CHECK ((outcome = 'kept') = (check_at IS NOT NULL))
);
