//! What an operator's machines want to know of the database: how late things are, and what waits for a human.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Timestamptz};

use super::schema::gateway_notices;
use super::{Conn, QueryResult};

/// What is due, by the work it is due for: since when the oldest has been. Every part is answered by an index, and each of those holds
/// what is open alone. Events wait for nobody where a merchant has no webhook: those who listen have them numbered when they come.
const LAGS: &str = "
    SELECT name, coalesce(greatest(0, extract(epoch FROM $1 - since) * 1000), 0)::bigint AS value FROM (
        SELECT 'unpaid_orders' AS name, min(pay_by) AS since FROM orders WHERE state = 'pending_payment'
        UNION ALL SELECT 'unanswered_orders', min(accept_by) FROM orders WHERE state = 'pending_accept'
        UNION ALL SELECT 'uncompleted_orders', min(complete_by) FROM orders WHERE state IN ('ready', 'delivering')
        UNION ALL SELECT 'payments', min(check_at) FROM payments WHERE check_at IS NOT NULL
        UNION ALL SELECT 'refunds', min(check_at) FROM refunds WHERE state IN ('due', 'submitted')
        UNION ALL SELECT 'notices', min(check_at) FROM gateway_notices WHERE outcome = 'kept'
        UNION ALL SELECT 'events', min(o.happened_at) FROM merchants m JOIN outbox o ON o.merchant_id = m.id
            WHERE m.webhook_url IS NOT NULL
        UNION ALL SELECT 'webhooks', min(due_at) FROM webhook_deliveries WHERE state = 'pending'
    ) lags";

/// The names that [`lags`] gives.
pub const WORKS: [&str; 8] = [
    "unpaid_orders",
    "unanswered_orders",
    "uncompleted_orders",
    "payments",
    "refunds",
    "notices",
    "events",
    "webhooks",
];

#[derive(QueryableByName)]
struct Measure {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    value: i64,
}

/// For how many milliseconds the oldest thing that is due for each of [`WORKS`] has waited; 0 where nothing does.
pub fn lags(conn: &mut Conn, now: DateTime<Utc>) -> QueryResult<Vec<(String, i64)>> {
    let measures: Vec<Measure> = diesel::sql_query(LAGS).bind::<Timestamptz, _>(now).load(conn)?;
    Ok(measures.into_iter().map(|measure| (measure.name, measure.value)).collect())
}

/// How many alerts of each kind nobody has resolved; kinds without any are left out.
pub fn open_alerts(conn: &mut Conn) -> QueryResult<Vec<(String, i64)>> {
    let counts = "SELECT kind AS name, count(*) AS value FROM alerts WHERE resolved_at IS NULL GROUP BY kind";
    let measures: Vec<Measure> = diesel::sql_query(counts).load(conn)?;
    Ok(measures.into_iter().map(|measure| (measure.name, measure.value)).collect())
}

/// How many notices are kept of money for payments that nobody knows.
pub fn kept_notices(conn: &mut Conn) -> QueryResult<i64> {
    gateway_notices::table
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("outcome = 'kept'"))
        .count()
        .get_result(conn)
}

define_sql_function! {
    /// The database's time at this moment, not that of the transaction's beginning.
    fn clock_timestamp() -> Timestamptz
}

/// What time it is at the database.
pub fn time(conn: &mut Conn) -> QueryResult<DateTime<Utc>> {
    diesel::select(clock_timestamp()).get_result(conn)
}
