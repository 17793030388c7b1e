-- Who of the staff did what, in the transaction that did it.
CREATE TABLE staff_actions (
    merchant_id bigint NOT NULL,
    id uuid NOT NULL,
    staff_id uuid NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL,
    done_at timestamptz NOT NULL,
    CONSTRAINT staff_actions_pkey PRIMARY KEY (merchant_id, id),
    CONSTRAINT staff_actions_staff_fkey FOREIGN KEY (merchant_id, staff_id) REFERENCES staff (merchant_id, id)
);
