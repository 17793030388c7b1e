DO $$
BEGIN
    ALTER TABLE merchants DROP CONSTRAINT merchants_complete_after_check;
    ALTER TABLE merchants
        ADD CONSTRAINT merchants_complete_after_check CHECK (complete_after_minutes BETWEEN 10 AND 10080) NOT VALID;
END
$$;
