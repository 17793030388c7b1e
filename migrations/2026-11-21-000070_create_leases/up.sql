-- What instances do one at a time, where no Redis keeps that. The token is the present holder's, nobody's when it is null; the fence grows
-- with every holder. Rows outlive their holders for a while, so that it does.
CREATE TABLE leases (
    merchant_id bigint NOT NULL,
    name text NOT NULL,
    token text,
    fence bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT leases_pkey PRIMARY KEY (merchant_id, name)
) WITH (fillfactor = 50);
