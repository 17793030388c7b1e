CREATE TABLE event_counters (
    merchant_id bigint NOT NULL,
    last_seq bigint NOT NULL,
    CONSTRAINT event_counters_pkey PRIMARY KEY (merchant_id)
) WITH (fillfactor = 50);
