-- The goods of a line exist: the transaction that writes it holds the lock on their row. They stay: a line takes stock, stock comes
-- from a move, and stock_moves_goods_fkey keeps goods that have moves. Checking it again for every line took a fifth of PostgreSQL's
-- time for an order of three.
ALTER TABLE order_lines DROP CONSTRAINT order_lines_goods_fkey;
