-- One order of one line, always the same goods row.
--
-- As one would write it by hand: all locks first, in ascending order, then the rows that the service writes, too. The id
-- is a version 7 uuid like the service's, so that the primary keys grow at their end. The INSERT makes it and returns it:
-- pgbench knows neither the time nor strings, and a SELECT of its own would cost a round trip.
\set n :n + 1
\set key :cell * 1000000000 + :client_id * 1000000 + :n
\set customer random(10001, 11000)
\set g1 11001
BEGIN;
SELECT id, price, stock, on_sale FROM goods WHERE merchant_id = 1 AND id IN (:g1) ORDER BY id FOR UPDATE;
INSERT INTO orders (merchant_id, id, customer_id, idempotency_key, request_hash, state, fulfilment, table_no, contact, phone,
        place, pay_method, goods_amount, freight, total, remark, pay_by, accept_by, placed_at)
    VALUES (1,
        encode(set_byte(overlay(uuid_send(gen_random_uuid())
            PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1), 6, 112), 'hex')::uuid,
        lpad(:customer, 32, '0')::uuid, :key,
        '\x9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', 'pending_accept', 'pickup', NULL, NULL, NULL,
        NULL, 'cash', 12.50, 0, 12.50, '', NULL, now() + interval '2 hours', now())
    RETURNING id AS order_id \gset
INSERT INTO order_lines (merchant_id, order_id, goods_id, position, name_zh, name_en, spec_zh, spec_en, price, count)
    VALUES (1, :order_id, :g1, 0, '饺子', 'Dumplings', '大份', 'Large', 12.50, 1);
INSERT INTO outbox (merchant_id, order_id, kind, state, happened_at) VALUES (1, :order_id, 'order_placed', 'pending_accept', now());
UPDATE goods SET stock = stock - 1, sales = sales + 1 WHERE merchant_id = 1 AND id IN (:g1) AND stock >= 1;
COMMIT;
