/**
 * Orders of days gone by, by SQL: more than the API takes in a minute, and at times that are over.
 *
 * Contract: what it writes keeps the promises that `rowlock audit` holds against the database.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import type { Restaurant } from '../tests/harness';

/** How many orders, on how many days before today. */
export interface Past {
  orders: number;
  days: number;
}

/** Writes orders of the cash customers of days gone by: cooked, paid for and completed. One in twelve is called off. */
export function writePast({ service, id }: Restaurant, { orders, days }: Past): Promise<void> {
  const sql = `
BEGIN;
CREATE TEMP TABLE past ON COMMIT DROP AS
SELECT at AS placed_at, overlay(overlay(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || substr(replace(gen_random_uuid()::text, '-', ''), 13) PLACING '7' FROM 13) PLACING '8' FROM 17)::uuid AS id,
    n % 12 = 5 AS is_off, 1 + n % 3 AS count, g.id AS goods_id, g.price, p.name_zh, p.name_en, g.spec_zh, g.spec_en,
    (at AT TIME ZONE 'Asia/Shanghai' - interval '4 hours')::date AS day, n
FROM generate_series(1, ${orders}) n
-- Noon and evening are when people eat: the hour is the middle of three by chance.
CROSS JOIN LATERAL (SELECT (date_trunc('day', now() AT TIME ZONE 'Asia/Shanghai' - interval '4 hours')
    - make_interval(days => 1 + floor((random() + random() * 0.3) / 1.3 * ${days})::int) + CASE WHEN n % 5 < 3 THEN interval '10.5 hours' ELSE interval '16.5 hours' END
    + (random() + random()) * interval '2 hours') AT TIME ZONE 'Asia/Shanghai' AS at) t
JOIN LATERAL (SELECT * FROM goods WHERE merchant_id = ${id} ORDER BY id
    OFFSET floor(power(random(), 2) * (SELECT count(*) FROM goods WHERE merchant_id = ${id}) + 0 * n)::int LIMIT 1) g ON true
JOIN products p ON p.merchant_id = ${id} AND p.id = g.product_id;
ALTER TABLE past ADD pickup_no int;
UPDATE past SET pickup_no = d.no FROM (SELECT id, row_number() OVER (PARTITION BY day ORDER BY id) AS no FROM past WHERE NOT is_off) d
    WHERE d.id = past.id;
INSERT INTO customers (merchant_id, id, provider, subject, created_at)
    VALUES (${id}, gen_random_uuid(), 'sandbox', 'regular of ${id}', now()) ON CONFLICT DO NOTHING;
INSERT INTO orders (merchant_id, id, customer_id, state, fulfilment, table_no, pay_method, goods_amount, freight, total, remark, placed_at,
    points_used, points_amount, paid_at, pickup_day, pickup_no, promised_at)
SELECT ${id}, o.id, c.id, CASE WHEN is_off THEN 'cancelled' ELSE 'completed' END, 'dine_in', 'A' || n % 20, 'cash', price * count, 0,
    price * count, '', placed_at, 0, 0, CASE WHEN NOT is_off THEN placed_at + interval '25 minutes' END,
    CASE WHEN NOT is_off THEN day END, pickup_no, CASE WHEN NOT is_off THEN placed_at + interval '20 minutes' END
FROM past o JOIN customers c ON c.merchant_id = ${id} AND c.subject = 'regular of ${id}';
INSERT INTO order_lines (merchant_id, order_id, goods_id, position, name_zh, name_en, spec_zh, spec_en, price, count, returned_count,
    refunded_count)
SELECT ${id}, id, goods_id, 1, name_zh, name_en, spec_zh, spec_en, price, count, CASE WHEN is_off THEN count ELSE 0 END, 0 FROM past;
INSERT INTO order_events (merchant_id, order_id, seq, from_state, to_state, actor, happened_at, move)
SELECT ${id}, id, seq, from_state, to_state, actor, placed_at + after * interval '1 second', move FROM past
JOIN (VALUES (true, 1, 'pending_accept', 'cancelled', 'customer', 90, 'cancel'),
    (false, 1, 'pending_accept', 'accepted', 'staff past', 35, 'accept'), (false, 2, 'accepted', 'preparing', 'staff past', 200, 'prepare'),
    (false, 3, 'preparing', 'ready', 'staff past', 1100, 'ready'), (false, 4, 'ready', 'completed', 'staff past', 1500, 'complete'))
    AS e (off, seq, from_state, to_state, actor, after, move) ON e.off = is_off;
INSERT INTO payments (merchant_id, id, order_id, gateway, state, amount, transaction, actor, created_at, settled_at, checks, fence)
SELECT ${id}, gen_random_uuid(), id, 'cash', 'paid', price * count, 'cash ' || id, 'staff past', placed_at + interval '25 minutes',
    placed_at + interval '25 minutes', 0, 0 FROM past WHERE NOT is_off;
INSERT INTO pickup_counters (merchant_id, day, last_no) SELECT ${id}, day, max(pickup_no) FROM past WHERE NOT is_off GROUP BY day;
INSERT INTO stock_moves (merchant_id, id, goods_id, delta, reason, actor, moved_at)
SELECT ${id}, gen_random_uuid(), goods_id, sum(count), 'delivery', 'staff past', min(placed_at) FROM past WHERE NOT is_off GROUP BY goods_id;
UPDATE goods SET sales = sales + sold FROM (SELECT goods_id, sum(count) AS sold FROM past WHERE NOT is_off GROUP BY goods_id) s
    WHERE merchant_id = ${id} AND goods.id = s.goods_id;
COMMIT;
ANALYZE;`;
  return psql(service.dataFolder, sql);
}

/** Runs SQL in the private cluster, which listens on a socket in its folder alone. */
function psql(dataFolder: string, sql: string): Promise<void> {
  const args = ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', join(dataFolder, 'pg'), '-U', 'rowlock', '-d', 'rowlock'];
  return new Promise((resolve, reject) => {
    const run = execFile('psql', args, (error, out, err) => {
      if (error === null) resolve();
      else reject(new Error(`psql failed:\n${out}${err}`));
    });
    run.stdin?.end(sql);
  });
}
