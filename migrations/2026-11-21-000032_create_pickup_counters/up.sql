CREATE TABLE pickup_counters (
    merchant_id bigint NOT NULL,
    day date NOT NULL,
    last_no integer NOT NULL,
    CONSTRAINT pickup_counters_pkey PRIMARY KEY (merchant_id, day)
) WITH (fillfactor = 50);
