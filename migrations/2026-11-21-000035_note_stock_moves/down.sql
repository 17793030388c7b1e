ALTER TABLE stock_moves DROP COLUMN note;
