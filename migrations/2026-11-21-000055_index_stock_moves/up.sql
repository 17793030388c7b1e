-- The history of a goods row, by time: an id that was made of an idempotency key says nothing of it.
CREATE INDEX stock_moves_moved_at_index ON stock_moves (merchant_id, goods_id, moved_at, id);
