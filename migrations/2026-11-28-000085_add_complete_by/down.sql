ALTER TABLE orders DROP COLUMN complete_by;
