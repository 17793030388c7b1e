ALTER TABLE stock_moves ADD COLUMN note text;
