ALTER TABLE merchants DROP COLUMN complete_after_minutes;
