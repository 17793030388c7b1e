-- Run this once after a database went back in time, before anything is placed or delivered: README.md, "Backup and recovery". (A private
-- PostgreSQL runs only while `rowlock serve` does: without timers and webhooks, then.)
--
-- Numbers that were given after the moment, and that others have seen, are not given again.

\set ON_ERROR_STOP on
BEGIN;

-- Events: a panel or a webhook that knows number 57 would take the next event of that number for one it has. All move up by a million,
-- so that whoever comes back with an old number is told to load everything again. Deliveries that were open are made once more.
WITH moved AS (UPDATE events SET seq = seq + 1000000),
     delivered AS (UPDATE webhook_deliveries SET seq = seq + 1000000)
INSERT INTO event_counters SELECT id, 1000000 FROM merchants
    ON CONFLICT (merchant_id) DO UPDATE SET last_seq = event_counters.last_seq + 1000000;

-- Dishes: what was added after the moment may still lie in carts, in menus that customers have open, and in exported sheets.
SELECT setval(pg_get_serial_sequence('categories', 'id'), nextval(pg_get_serial_sequence('categories', 'id')) + 1000);
SELECT setval(pg_get_serial_sequence('products', 'id'), nextval(pg_get_serial_sequence('products', 'id')) + 1000);
SELECT setval(pg_get_serial_sequence('goods', 'id'), nextval(pg_get_serial_sequence('goods', 'id')) + 1000);

COMMIT;
