-- The board: orders the staff have in their hands. Those that wait are few, and found by their deadlines.
CREATE INDEX orders_open_index ON orders (merchant_id, state, id) WHERE state IN ('accepted', 'preparing', 'ready', 'delivering');
