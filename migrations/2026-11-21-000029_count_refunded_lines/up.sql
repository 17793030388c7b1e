DO $$
BEGIN
    ALTER TABLE order_lines ADD COLUMN refunded_count integer NOT NULL DEFAULT 0;
    ALTER TABLE order_lines ADD CONSTRAINT order_lines_refunded_check CHECK (refunded_count BETWEEN 0 AND count);
END
$$;
