//! The promises of Rowlock as queries: what each finds is a broken promise, named by row.
//!
//! Contract: reads only, all in one repeatable-read snapshot, so that it can run over a database under load.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::{Conn, QueryResult};

/// A promise and the query that finds where it is broken.
pub struct Check {
    /// The name it is reported under.
    pub name: &'static str,
    /// What must hold.
    pub promise: &'static str,
    /// Yields `merchant_id`, `item` (which row) and `finding` (what is wrong with it).
    sql: &'static str,
}

/// A row that breaks a promise.
#[derive(Debug, QueryableByName)]
pub struct Violation {
    /// The merchant.
    #[diesel(sql_type = BigInt)]
    pub merchant_id: i64,
    /// Which row.
    #[diesel(sql_type = Text)]
    pub item: String,
    /// What is wrong with it.
    #[diesel(sql_type = Text)]
    pub finding: String,
}

/// Every check, in the order of the promises.
pub const CHECKS: &[Check] = &[
    Check {
        name: "stock_not_negative",
        promise: "stock never goes below zero",
        sql: "SELECT merchant_id, 'goods ' || id AS item, 'stock is ' || stock AS finding FROM goods WHERE stock < 0",
    },
    Check {
        name: "stock_conserved",
        promise: "a goods row's stock is the sum of its moves less what its order lines took and did not return",
        sql: "SELECT g.merchant_id, 'goods ' || g.id AS item,
                  format('stock is %s, moves %s less %s taken make %s',
                      g.stock, coalesce(m.units, 0), coalesce(l.units, 0), coalesce(m.units, 0) - coalesce(l.units, 0)) AS finding
              FROM goods g
              LEFT JOIN (SELECT merchant_id, goods_id, sum(delta) AS units FROM stock_moves GROUP BY merchant_id, goods_id) m
                  ON m.merchant_id = g.merchant_id AND m.goods_id = g.id
              LEFT JOIN (SELECT merchant_id, goods_id, sum(count - returned_count) AS units
                         FROM order_lines GROUP BY merchant_id, goods_id) l
                  ON l.merchant_id = g.merchant_id AND l.goods_id = g.id
              WHERE g.stock <> coalesce(m.units, 0) - coalesce(l.units, 0)",
    },
    Check {
        name: "sales_counted",
        promise: "a goods row's sales are what its order lines took and did not return",
        sql: "SELECT g.merchant_id, 'goods ' || g.id AS item,
                  format('sales are %s, lines sold %s', g.sales, coalesce(l.units, 0)) AS finding
              FROM goods g
              LEFT JOIN (SELECT merchant_id, goods_id, sum(count - returned_count) AS units
                         FROM order_lines GROUP BY merchant_id, goods_id) l
                  ON l.merchant_id = g.merchant_id AND l.goods_id = g.id
              WHERE g.sales <> coalesce(l.units, 0)",
    },
    Check {
        name: "one_order_per_key",
        promise: "one idempotency key, one order",
        sql: "SELECT merchant_id, format('customer %s key %s', customer_id, idempotency_key) AS item,
                  count(*) || ' orders: ' || string_agg(id::text, ', ' ORDER BY id) AS finding
              FROM orders WHERE idempotency_key IS NOT NULL
              GROUP BY merchant_id, customer_id, idempotency_key HAVING count(*) > 1",
    },
    Check {
        name: "order_adds_up",
        promise: "an order has lines, their amounts sum to its goods amount, with freight and less points to its total",
        sql: "SELECT o.merchant_id, 'order ' || o.id AS item,
                  format('goods amount %s, lines %s, freight %s, points %s, total %s',
                      o.goods_amount, l.amount, o.freight, o.points_amount, o.total) AS finding
              FROM orders o
              LEFT JOIN (SELECT merchant_id, order_id, sum(price * count) AS amount
                         FROM order_lines GROUP BY merchant_id, order_id) l
                  ON l.merchant_id = o.merchant_id AND l.order_id = o.id
              WHERE l.amount IS NULL OR l.amount <> o.goods_amount OR o.total <> o.goods_amount + o.freight - o.points_amount",
    },
    Check {
        name: "history_is_a_chain",
        promise: "every change of state after the placing is one row, numbered without gaps, whose from is the previous row's to",
        sql: "SELECT merchant_id, format('order %s event %s', order_id, seq) AS item,
                  format('number %s, from %s after %s', number, from_state, coalesce(previous, 'the placing')) AS finding
              FROM (SELECT merchant_id, order_id, seq, from_state,
                        lag(to_state) OVER history AS previous, row_number() OVER history AS number
                    FROM order_events WINDOW history AS (PARTITION BY merchant_id, order_id ORDER BY seq)) e
              WHERE number <> seq OR from_state <> previous
                  OR previous IS NULL AND from_state NOT IN ('pending_payment', 'pending_accept')",
    },
    Check {
        name: "history_ends_in_the_state",
        promise: "an order stands where the last row of its history says, or, without one, where it was placed",
        sql: "SELECT o.merchant_id, 'order ' || o.id AS item,
                  format('state is %s, history ends in %s', o.state, coalesce(e.to_state, 'the placing')) AS finding
              FROM orders o
              LEFT JOIN (SELECT DISTINCT ON (merchant_id, order_id) merchant_id, order_id, to_state
                         FROM order_events ORDER BY merchant_id, order_id, seq DESC) e
                  ON e.merchant_id = o.merchant_id AND e.order_id = o.id
              WHERE o.state <> e.to_state
                  OR e.to_state IS NULL AND o.state NOT IN ('pending_payment', 'pending_accept')",
    },
    Check {
        name: "terminal_states_stay",
        promise: "an order that is completed, cancelled or rejected stays so",
        sql: "SELECT merchant_id, format('order %s event %s', order_id, seq) AS item,
                  format('from %s to %s', from_state, to_state) AS finding
              FROM order_events WHERE from_state IN ('completed', 'cancelled', 'rejected') AND to_state <> from_state",
    },
    Check {
        name: "called_off_orders_hold_nothing",
        promise: "the units of an order that was rejected, or cancelled before it was accepted, are back in stock",
        sql: "SELECT o.merchant_id, format('goods %s of order %s', l.goods_id, o.id) AS item,
                  format('%s of %s returned', l.returned_count, l.count) AS finding
              FROM orders o JOIN order_lines l ON l.merchant_id = o.merchant_id AND l.order_id = o.id
              WHERE o.state IN ('cancelled', 'rejected') AND o.pickup_no IS NULL AND l.returned_count <> l.count",
    },
    Check {
        name: "live_orders_return_nothing",
        promise: "no unit of an order that was not called off went back into stock",
        sql: "SELECT o.merchant_id, format('goods %s of order %s', l.goods_id, o.id) AS item,
                  format('%s returned, %s', l.returned_count, o.state) AS finding
              FROM orders o JOIN order_lines l ON l.merchant_id = o.merchant_id AND l.order_id = o.id
              WHERE o.state NOT IN ('cancelled', 'rejected') AND l.returned_count > 0",
    },
    Check {
        name: "pickup_numbers_are_dense",
        promise: "the pickup numbers of a business day are 1, 2, 3 and so on, up to the counter, each given once",
        sql: "SELECT coalesce(c.merchant_id, o.merchant_id) AS merchant_id, 'day ' || coalesce(c.day, o.day) AS item,
                  format('%s numbers up to %s, counter at %s', o.numbers, o.greatest, c.last_no) AS finding
              FROM pickup_counters c
              FULL JOIN (SELECT merchant_id, pickup_day AS day, count(*) AS numbers, max(pickup_no) AS greatest
                         FROM orders WHERE pickup_no IS NOT NULL GROUP BY merchant_id, pickup_day) o
                  ON o.merchant_id = c.merchant_id AND o.day = c.day
              WHERE o.numbers IS DISTINCT FROM c.last_no OR o.greatest IS DISTINCT FROM c.last_no",
    },
    Check {
        name: "accepted_orders_have_numbers",
        promise: "an order has a pickup number if and only if the restaurant has taken it on",
        sql: "SELECT merchant_id, 'order ' || id AS item, format('%s with number %s', state, pickup_no) AS finding
              FROM orders
              WHERE state IN ('accepted', 'preparing', 'ready', 'delivering', 'completed') AND pickup_no IS NULL
                  OR state IN ('pending_payment', 'pending_accept', 'rejected') AND pickup_no IS NOT NULL",
    },
    Check {
        name: "paid_once",
        promise: "an order that a gateway is to be paid for goes on only when it is paid, by one payment, of its total; \
            a completed one in cash, too",
        sql: "SELECT o.merchant_id, 'order ' || o.id AS item,
                  format('%s, total %s, %s payments of %s', o.state, o.total, coalesce(p.payments, 0), p.amount) AS finding
              FROM orders o
              LEFT JOIN (SELECT merchant_id, order_id, count(*) AS payments, sum(amount) AS amount
                         FROM payments WHERE state = 'paid' GROUP BY merchant_id, order_id) p
                  ON p.merchant_id = o.merchant_id AND p.order_id = o.id
              WHERE p.payments > 1 OR p.amount <> o.total OR (p.payments IS NULL) <> (o.paid_at IS NULL)
                  OR p.payments IS NULL AND o.total > 0 AND o.state NOT IN ('cancelled', 'rejected', 'pending_payment')
                      AND (o.pay_method <> 'cash' OR o.state = 'completed')
                  OR p.payments > 0 AND o.state = 'pending_payment'",
    },
    Check {
        name: "no_more_goes_back_than_came_in",
        promise: "the refunds of a payment are no more than it; all of it for one that came late, twice or as another amount",
        sql: "SELECT p.merchant_id, 'payment ' || p.id AS item,
                  format('%s of %s, refunds %s', p.state, p.amount, coalesce(r.amount, 0)) AS finding
              FROM payments p
              LEFT JOIN (SELECT merchant_id, payment_id, sum(amount) AS amount FROM refunds GROUP BY merchant_id, payment_id) r
                  ON r.merchant_id = p.merchant_id AND r.payment_id = p.id
              WHERE coalesce(r.amount, 0) > p.amount
                  OR p.state IN ('paid_late', 'paid_duplicate', 'paid_mismatch') AND r.amount IS DISTINCT FROM p.amount
                  OR p.state NOT LIKE 'paid%' AND r.amount IS NOT NULL",
    },
    Check {
        name: "called_off_orders_are_paid_back",
        promise: "what was paid for an order that was rejected, or cancelled before it was accepted, is owed back or is back",
        sql: "SELECT o.merchant_id, 'order ' || o.id AS item, format('%s paid, %s back', p.amount, coalesce(r.amount, 0)) AS finding
              FROM orders o
              JOIN payments p ON p.merchant_id = o.merchant_id AND p.order_id = o.id AND p.state = 'paid'
              LEFT JOIN (SELECT merchant_id, payment_id, sum(amount) AS amount FROM refunds GROUP BY merchant_id, payment_id) r
                  ON r.merchant_id = p.merchant_id AND r.payment_id = p.id
              WHERE o.state IN ('cancelled', 'rejected') AND o.pickup_no IS NULL AND r.amount IS DISTINCT FROM p.amount",
    },
    Check {
        name: "called_off_orders_take_no_money",
        promise: "no attempt to pay is open for an order that was called off before it was paid",
        sql: "SELECT p.merchant_id, 'payment ' || p.id AS item, format('%s, its order %s', p.state, o.state) AS finding
              FROM payments p
              JOIN orders o ON o.merchant_id = p.merchant_id AND o.id = p.order_id
              WHERE p.state IN ('pending', 'closing') AND o.state IN ('cancelled', 'rejected') AND o.paid_at IS NULL",
    },
    Check {
        name: "notices_have_taken_effect",
        promise: "the money that a gateway has told of is a payment of that amount, in the state that was written down",
        sql: "SELECT n.merchant_id, format('notice %s of %s', n.id, n.gateway) AS item,
                  format('%s, %s yuan; payment %s of %s', n.outcome, n.amount, p.state, p.amount) AS finding
              FROM gateway_notices n
              LEFT JOIN payments p
                  ON p.merchant_id = n.merchant_id AND p.gateway = n.gateway AND p.transaction = n.transaction
              WHERE n.outcome LIKE 'paid%' AND (p.state IS DISTINCT FROM n.outcome OR p.amount IS DISTINCT FROM n.amount)
                  OR n.outcome = 'known_before' AND p.id IS NULL",
    },
    Check {
        name: "trouble_is_told_of",
        promise: "there is an alert for each payment that did not fit its order, and each refund that waits for a human",
        sql: "SELECT p.merchant_id, 'payment ' || p.id AS item, p.state || ' without an alert' AS finding
              FROM payments p
              WHERE p.state IN ('paid_late', 'paid_duplicate', 'paid_mismatch') AND NOT EXISTS
                  (SELECT FROM alerts a WHERE a.merchant_id = p.merchant_id AND a.payment_id = p.id)
              UNION ALL
              SELECT r.merchant_id, 'refund ' || r.id, r.state || ' without an alert'
              FROM refunds r
              WHERE r.state IN ('failed', 'abnormal') AND NOT EXISTS
                  (SELECT FROM alerts a WHERE a.merchant_id = r.merchant_id AND a.refund_id = r.id)",
    },
    Check {
        name: "balances_add_up",
        promise: "an account holds the sum of its entries, and never less than nothing",
        sql: "SELECT a.merchant_id, 'account ' || a.id AS item,
                  format('balance %s, entries %s', a.balance, coalesce(e.units, 0)) AS finding
              FROM accounts a
              LEFT JOIN (SELECT merchant_id, account_id, sum(delta) AS units FROM entries GROUP BY merchant_id, account_id) e
                  ON e.merchant_id = a.merchant_id AND e.account_id = a.id
              WHERE a.balance <> coalesce(e.units, 0) OR a.balance < 0",
    },
    Check {
        name: "points_follow_their_order",
        promise: "the points an order spends leave the account once, and come back once if it is called off",
        sql: "SELECT o.merchant_id, 'order ' || o.id AS item,
                  format('%s, %s points, entries %s and back %s', o.state, o.points_used, e.spent, e.back) AS finding
              FROM orders o
              LEFT JOIN (SELECT merchant_id, order_id,
                             sum(-delta) FILTER (WHERE cause LIKE '% spent') AS spent,
                             sum(delta) FILTER (WHERE cause LIKE '% spent back') AS back
                         FROM entries WHERE order_id IS NOT NULL GROUP BY merchant_id, order_id) e
                  ON e.merchant_id = o.merchant_id AND e.order_id = o.id
              WHERE coalesce(e.spent, 0) <> o.points_used
                  OR coalesce(e.back, 0) <> CASE WHEN o.state IN ('cancelled', 'rejected') THEN o.points_used ELSE 0 END",
    },
    Check {
        name: "grants_follow_their_payment",
        promise: "what the goods of an order grant is credited once, when it is paid, and not before",
        sql: "SELECT o.merchant_id, 'order ' || o.id AS item,
                  format('grants %s, entries %s, paid at %s', g.units, coalesce(e.units, 0), o.paid_at) AS finding
              FROM orders o
              JOIN (SELECT merchant_id, order_id, sum(amount) AS units FROM order_grants GROUP BY merchant_id, order_id) g
                  ON g.merchant_id = o.merchant_id AND g.order_id = o.id
              LEFT JOIN (SELECT merchant_id, order_id, sum(delta) AS units
                         FROM entries WHERE cause LIKE 'order % granted' GROUP BY merchant_id, order_id) e
                  ON e.merchant_id = o.merchant_id AND e.order_id = o.id
              WHERE coalesce(e.units, 0) <> CASE
                  WHEN o.paid_at IS NOT NULL OR o.total = 0 AND o.pickup_no IS NOT NULL THEN g.units ELSE 0 END",
    },
    Check {
        name: "nothing_belongs_to_a_stranger",
        promise: "orders, lines, history, outbox, events, entries and stock moves belong to a customer, an order, goods of the same merchant",
        sql: "SELECT o.merchant_id, 'order ' || o.id AS item, 'no customer ' || o.customer_id AS finding
              FROM orders o WHERE NOT EXISTS
                  (SELECT FROM customers c WHERE c.merchant_id = o.merchant_id AND c.id = o.customer_id)
              UNION ALL
              SELECT l.merchant_id, format('line %s of order %s', l.goods_id, l.order_id), 'no such goods or no such order'
              FROM order_lines l
              WHERE NOT EXISTS (SELECT FROM orders o WHERE o.merchant_id = l.merchant_id AND o.id = l.order_id)
                  OR NOT EXISTS (SELECT FROM goods g WHERE g.merchant_id = l.merchant_id AND g.id = l.goods_id)
              UNION ALL
              SELECT e.merchant_id, format('event %s of order %s', e.seq, e.order_id), 'no such order'
              FROM order_events e
              WHERE NOT EXISTS (SELECT FROM orders o WHERE o.merchant_id = e.merchant_id AND o.id = e.order_id)
              UNION ALL
              SELECT b.merchant_id, 'outbox row ' || b.id, 'no such order'
              FROM outbox b WHERE b.order_id IS NOT NULL
                  AND NOT EXISTS (SELECT FROM orders o WHERE o.merchant_id = b.merchant_id AND o.id = b.order_id)
              UNION ALL
              SELECT b.merchant_id, 'outbox row ' || b.id, 'no such goods'
              FROM outbox b WHERE b.goods_id IS NOT NULL
                  AND NOT EXISTS (SELECT FROM goods g WHERE g.merchant_id = b.merchant_id AND g.id = b.goods_id)
              UNION ALL
              SELECT e.merchant_id, 'event ' || e.seq, 'no such order'
              FROM events e WHERE e.order_id IS NOT NULL
                  AND NOT EXISTS (SELECT FROM orders o WHERE o.merchant_id = e.merchant_id AND o.id = e.order_id)
              UNION ALL
              SELECT e.merchant_id, format('entry %s of account %s', e.cause, e.account_id), 'no such order'
              FROM entries e WHERE e.order_id IS NOT NULL
                  AND NOT EXISTS (SELECT FROM orders o WHERE o.merchant_id = e.merchant_id AND o.id = e.order_id)
              UNION ALL
              SELECT m.merchant_id, format('stock move %s of goods %s', m.id, m.goods_id), 'no such goods'
              FROM stock_moves m
              WHERE NOT EXISTS (SELECT FROM goods g WHERE g.merchant_id = m.merchant_id AND g.id = m.goods_id)",
    },
    Check {
        name: "events_are_dense",
        promise: "a merchant's events are numbered without gaps, from the first that is kept to the last number given",
        sql: "SELECT e.merchant_id, format('events %s to %s', e.first, e.last) AS item,
                  format('%s of them, the last number given is %s', e.number, coalesce(c.last_seq::text, 'none')) AS finding
              FROM (SELECT merchant_id, min(seq) AS first, max(seq) AS last, count(*) AS number FROM events GROUP BY merchant_id) e
              LEFT JOIN event_counters c ON c.merchant_id = e.merchant_id
              WHERE e.number <> e.last - e.first + 1 OR e.first < 1 OR c.last_seq IS DISTINCT FROM e.last",
    },
    Check {
        name: "orders_events_in_order",
        promise: "an order's events tell of its placing before anything else, and no event is still in the outbox behind a later one",
        sql: "SELECT e.merchant_id, 'event ' || e.seq AS item, 'it tells of the placing of order ' || e.order_id || ' too late' AS finding
              FROM events e
              WHERE e.kind = 'order_placed' AND EXISTS
                  (SELECT FROM events f WHERE f.merchant_id = e.merchant_id AND f.order_id = e.order_id AND f.seq < e.seq)
              UNION ALL
              SELECT b.merchant_id, 'outbox row ' || b.id, 'the placing of order ' || b.order_id || ' is told of after another event'
              FROM outbox b JOIN events e ON e.merchant_id = b.merchant_id AND e.order_id = b.order_id
              WHERE b.kind = 'order_placed'",
    },
    Check {
        name: "deliveries_have_events",
        promise: "every delivery to a webhook is of an event of the same merchant",
        sql: "SELECT d.merchant_id, 'delivery ' || d.seq AS item, 'no such event' AS finding
              FROM webhook_deliveries d
              WHERE NOT EXISTS (SELECT FROM events e WHERE e.merchant_id = d.merchant_id AND e.seq = d.seq)",
    },
];

/// Findings that are named of one check; a broken database may have millions.
pub const NAMED_MAX: usize = 100;

/// Runs every check over the whole database and returns what each found, at most [`NAMED_MAX`] and one more.
pub fn run(conn: &mut Conn) -> QueryResult<Vec<(&'static Check, Vec<Violation>)>> {
    conn.build_transaction().repeatable_read().read_only().run(|conn| {
        // A large database takes its time, and nobody waits for the audit.
        conn.batch_execute("SET LOCAL statement_timeout = 0")?;
        let found = |check: &'static Check| {
            let first = format!("SELECT * FROM ({}) found LIMIT {}", check.sql, NAMED_MAX + 1);
            Ok((check, diesel::sql_query(first).load(conn)?))
        };
        CHECKS.iter().map(found).collect()
    })
}
