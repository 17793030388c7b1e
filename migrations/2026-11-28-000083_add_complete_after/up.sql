-- Minutes after which an order that is ready or on its way is completed by itself; null where somebody has to do it. The column comes
-- without a default and gets it afterwards, so that merchants that are here already stay as they were until somebody sets it, and those that
-- come get four hours.
DO $$
BEGIN
    ALTER TABLE merchants ADD COLUMN complete_after_minutes integer;
    ALTER TABLE merchants ALTER COLUMN complete_after_minutes SET DEFAULT 240;
    ALTER TABLE merchants
        ADD CONSTRAINT merchants_complete_after_check CHECK (complete_after_minutes BETWEEN 10 AND 10080) NOT VALID;
END
$$;
