-- An order of goods that are sold out: look at the row under its lock, find nothing left, give up.
BEGIN;
SELECT id, price, stock, on_sale FROM goods WHERE merchant_id = 1 AND id = 11002 FOR UPDATE;
ROLLBACK;
