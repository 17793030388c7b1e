ALTER TABLE order_lines DROP COLUMN refunded_count;
