//! Orders as they are moved: locked, advanced, with their history and pickup numbers.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel::upsert::excluded;
use uuid::Uuid;

use super::orders::{OrderRow, with_lines};
use super::schema::{order_events, order_lines, orders, pickup_counters};
use super::{Conn, LockRank, QueryResult, Tx, outbox};
use crate::domain::moves::{Actor, Move, Why};
use crate::domain::order::{Order, OrderState};
use crate::domain::{GoodsId, MerchantId, OrderId};

/// Locks an order until the transaction ends and reads it with its lines, if the merchant has it.
pub fn lock(tx: &mut Tx<'_>, id: OrderId) -> QueryResult<Option<Order>> {
    tx.enter(LockRank::Order);
    let rows: Vec<OrderRow> =
        orders::table.find((tx.merchant.0, id.0)).select(OrderRow::as_select()).for_update().load(tx.conn)?;
    Ok(with_lines(tx.conn, tx.merchant, rows)?.pop())
}

/// As [`lock`], without waiting: nothing where somebody else has the order in hand.
pub fn lock_unless_busy(tx: &mut Tx<'_>, id: OrderId) -> QueryResult<Option<Order>> {
    tx.enter(LockRank::Order);
    let rows: Vec<OrderRow> = orders::table
        .find((tx.merchant.0, id.0))
        .select(OrderRow::as_select())
        .for_update()
        .skip_locked()
        .load(tx.conn)?;
    Ok(with_lines(tx.conn, tx.merchant, rows)?.pop())
}

/// What a move changes besides the state; what is none stays.
#[derive(Default, AsChangeset)]
#[diesel(table_name = orders)]
pub struct Changes {
    /// Until when the restaurant must answer.
    pub accept_by: Option<DateTime<Utc>>,
    /// When the money came in.
    pub paid_at: Option<DateTime<Utc>>,
    /// The business day of the pickup number.
    pub pickup_day: Option<NaiveDate>,
    /// The number the order is called by.
    pub pickup_no: Option<i32>,
    /// When the restaurant means to have it ready.
    pub promised_at: Option<DateTime<Utc>>,
    /// When the customer asked where it is.
    pub nudged_at: Option<DateTime<Utc>>,
    /// Until when somebody has to complete it, or that nobody has to.
    pub complete_by: Option<Option<DateTime<Utc>>>,
}

/// A move that is made.
pub struct Made<'a> {
    /// What is done.
    pub made: Move,
    /// Where it leads.
    pub to: OrderState,
    /// Who does it.
    pub by: Actor,
    /// Why, where a reason is given.
    pub why: Option<&'a Why>,
}

/// Makes a move of a locked order: the state, its row of history, its row of the outbox. The guard repeats what the machine said: one
/// row, and only from the state the move was decided in.
///
/// # Panics
/// When the order is not in that state: then it was not locked.
pub fn advance(
    tx: &mut Tx<'_>,
    order: &Order,
    made: &Made<'_>,
    changes: &Changes,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let rows = diesel::update(orders::table.find((tx.merchant.0, order.id.0)))
        .filter(orders::state.eq(order.state.name()))
        .set((orders::state.eq(made.to.name()), changes))
        .execute(tx.conn)?;
    assert_eq!(rows, 1, "order {} is locked in state {}", order.id, order.state);
    let last: Option<i32> = order_events::table
        .filter(order_events::merchant_id.eq(tx.merchant.0))
        .filter(order_events::order_id.eq(order.id.0))
        .select(diesel::dsl::max(order_events::seq))
        .first(tx.conn)?;
    diesel::insert_into(order_events::table)
        .values((
            order_events::merchant_id.eq(tx.merchant.0),
            order_events::order_id.eq(order.id.0),
            order_events::seq.eq(last.unwrap_or_default() + 1),
            order_events::from_state.eq(order.state.name()),
            order_events::to_state.eq(made.to.name()),
            order_events::move_.eq(made.made.name()),
            order_events::actor.eq(made.by.to_string()),
            order_events::reason.eq(made.why.map(|why| why.reason.name())),
            order_events::note.eq(made.why.map(|why| why.note.as_str()).filter(|note| !note.is_empty())),
            order_events::happened_at.eq(now),
        ))
        .execute(tx.conn)?;
    outbox::tell_of_order(tx, order.id, made.made, made.to, now)
}

/// The last day that pickup numbers were given on. A merchant whose clock is set back goes on with that day's, so that no number is
/// given twice.
pub fn last_pickup_day(tx: &mut Tx<'_>) -> QueryResult<Option<NaiveDate>> {
    pickup_counters::table
        .filter(pickup_counters::merchant_id.eq(tx.merchant.0))
        .select(diesel::dsl::max(pickup_counters::day))
        .first(tx.conn)
}

/// Takes the next pickup number of a day. The counter stays locked until the transaction ends, so it is the last lock a move takes.
pub fn next_pickup_no(tx: &mut Tx<'_>, day: NaiveDate) -> QueryResult<i32> {
    tx.enter(LockRank::PickupNo);
    diesel::insert_into(pickup_counters::table)
        .values((
            pickup_counters::merchant_id.eq(tx.merchant.0),
            pickup_counters::day.eq(day),
            pickup_counters::last_no.eq(1),
        ))
        .on_conflict((pickup_counters::merchant_id, pickup_counters::day))
        .do_update()
        .set(pickup_counters::last_no.eq(pickup_counters::last_no + excluded(pickup_counters::last_no)))
        .returning(pickup_counters::last_no)
        .get_result(tx.conn)
}

/// A row of an order's history.
#[derive(Debug, Queryable)]
pub struct EventRow {
    /// From one, without gaps.
    pub seq: i32,
    /// What was done.
    pub made: String,
    /// The state it was done in.
    pub from: String,
    /// The state it led to.
    pub to: String,
    /// Who did it.
    pub actor: String,
    /// Why, as a code.
    pub reason: Option<String>,
    /// Why, in words.
    pub note: Option<String>,
    /// When.
    pub happened_at: DateTime<Utc>,
}

/// An order's history, in order.
pub fn history(conn: &mut Conn, merchant: MerchantId, order: OrderId) -> QueryResult<Vec<EventRow>> {
    order_events::table
        .filter(order_events::merchant_id.eq(merchant.0))
        .filter(order_events::order_id.eq(order.0))
        .order(order_events::seq)
        .select((
            order_events::seq,
            order_events::move_,
            order_events::from_state,
            order_events::to_state,
            order_events::actor,
            order_events::reason,
            order_events::note,
            order_events::happened_at,
        ))
        .load(conn)
}

/// Notes that units of a line were paid back.
///
/// # Panics
/// When the line has fewer left.
pub fn refund_line(tx: &mut Tx<'_>, order: OrderId, goods: GoodsId, units: u32) -> QueryResult<()> {
    let units = i32::try_from(units).expect("units of a line fit an i32");
    let rows = diesel::update(order_lines::table.find((tx.merchant.0, order.0, goods.0)))
        .filter((order_lines::refunded_count + units).le(order_lines::count))
        .set(order_lines::refunded_count.eq(order_lines::refunded_count + units))
        .execute(tx.conn)?;
    assert_eq!(rows, 1, "the order is locked, and was seen to have as many");
    Ok(())
}

/// Until when somebody has to complete an order, if anybody has. It means nothing unless the order is ready or on its way.
pub fn complete_by(tx: &mut Tx<'_>, order: OrderId) -> QueryResult<Option<DateTime<Utc>>> {
    orders::table.find((tx.merchant.0, order.0)).select(orders::complete_by).first(tx.conn)
}

/// Leaves a locked order to whoever completes it, however long that takes.
pub fn complete_whenever(tx: &mut Tx<'_>, order: OrderId) -> QueryResult<()> {
    diesel::update(orders::table.find((tx.merchant.0, order.0)))
        .set(orders::complete_by.eq(None::<DateTime<Utc>>))
        .execute(tx.conn)?;
    Ok(())
}

/// What orders may be overdue for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// To be paid.
    Pay,
    /// To be answered by the restaurant.
    Accept,
    /// To be completed, once they are ready.
    Complete,
}

/// An order that is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Whose it is.
    pub merchant: MerchantId,
    /// Which.
    pub order: OrderId,
}

/// What has become due by `now`: at most `limit` orders, the longest overdue first, beginning behind `after`. A plain read: whoever acts
/// on one locks it and looks again.
pub fn overdue(
    conn: &mut Conn,
    deadline: Deadline,
    now: DateTime<Utc>,
    after: Option<Overdue>,
    limit: i64,
) -> QueryResult<Vec<Overdue>> {
    // The states stand in the text, so that the planner sees that the partial indexes apply.
    macro_rules! behind {
        ($deadline:ident, $of:literal) => {{
            let query = orders::table
                .filter(diesel::dsl::sql::<Bool>($of))
                .filter(orders::$deadline.le(now))
                .order((orders::$deadline, orders::merchant_id, orders::id))
                .select((orders::$deadline.assume_not_null(), orders::merchant_id, orders::id))
                .limit(limit)
                .into_boxed();
            let query = match after {
                None => query,
                Some(Overdue { since, merchant, order }) => {
                    let of_merchant = orders::merchant_id.eq(merchant.0).and(orders::id.gt(order.0));
                    let same_time = orders::$deadline
                        .assume_not_null()
                        .eq(since)
                        .and(orders::merchant_id.gt(merchant.0).or(of_merchant));
                    query.filter(orders::$deadline.assume_not_null().gt(since).or(same_time))
                }
            };
            query.load(conn)?
        }};
    }
    let rows: Vec<(DateTime<Utc>, i64, Uuid)> = match deadline {
        Deadline::Pay => behind!(pay_by, "state = 'pending_payment'"),
        Deadline::Accept => behind!(accept_by, "state = 'pending_accept'"),
        Deadline::Complete => behind!(complete_by, "state IN ('ready', 'delivering')"),
    };
    let overdue = |(since, merchant, id)| Overdue { since, merchant: MerchantId(merchant), order: OrderId(id) };
    Ok(rows.into_iter().map(overdue).collect())
}
