//! Merchants and their settings.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Numeric, Text, Time};
use rust_decimal::Decimal;

use super::rows::{Corrupt, corrupt, money};
use super::schema::merchants;
use super::{Conn, QueryResult, Tx};
use crate::domain::ledger::EarnedOn;
use crate::domain::money::Money;
use crate::domain::order::Offered;
use crate::domain::placement::{Hours, Shop};
use crate::domain::{BusinessDays, LocalText, MerchantId};

/// A merchant with its settings.
#[derive(Clone, Debug)]
pub struct Merchant {
    /// Its id.
    pub id: MerchantId,
    /// Its name.
    pub name: LocalText,
    /// The zone its clock and its business day follow.
    pub time_zone: Tz,
    /// Opening hours in that zone; none means always open.
    pub hours: Option<Hours>,
    /// Takes no orders at the moment.
    pub paused: bool,
    /// What customers may choose from.
    pub offered: Offered,
    /// The least the goods of a delivery must cost, in yuan.
    pub minimum_amount: Money,
    /// What a delivery costs, in yuan.
    pub freight: Money,
    /// From this goods amount on, delivery is free.
    pub free_freight_from: Option<Money>,
    /// Minutes an order may wait for its payment.
    pub unpaid_minutes: i32,
    /// Minutes the restaurant may take to answer an order.
    pub accept_minutes: i32,
    /// When its day of business begins.
    pub day_starts_at: NaiveTime,
    /// Orders are accepted as soon as they may be.
    pub auto_accept: bool,
    /// Orders that nobody answers in time are accepted; otherwise they are rejected.
    pub timeout_accepts: bool,
    /// Customers may cancel orders that wait to be accepted.
    pub customer_cancels: bool,
    /// How many points pay one yuan; none are taken where it is 0.
    pub points_per_yuan: u32,
    /// Points that a paid yuan earns.
    pub points_earned_per_yuan: u32,
    /// When they are credited.
    pub points_earned_on: EarnedOn,
}

impl Merchant {
    /// Its days of business.
    pub fn business_days(&self) -> BusinessDays {
        BusinessDays { time_zone: self.time_zone, starts_at: self.day_starts_at }
    }

    /// How long the restaurant may take to answer an order. Where orders are accepted by themselves, no time at all: the timer is next.
    pub fn time_to_accept(&self) -> TimeDelta {
        if self.auto_accept { TimeDelta::zero() } else { TimeDelta::minutes(self.accept_minutes.into()) }
    }

    /// The settings as a placement at `now` needs them.
    pub fn shop_at(&self, now: DateTime<Utc>) -> Shop {
        Shop {
            paused: self.paused,
            hours: self.hours,
            local_time: now.with_timezone(&self.time_zone).time(),
            offered: self.offered,
            minimum_amount: self.minimum_amount,
            freight: self.freight,
            free_freight_from: self.free_freight_from,
            points_per_yuan: self.points_per_yuan,
            unpaid: TimeDelta::minutes(self.unpaid_minutes.into()),
            accept: self.time_to_accept(),
        }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = merchants, check_for_backend(diesel::pg::Pg))]
pub(super) struct Row {
    id: i64,
    name_zh: String,
    name_en: String,
    time_zone: String,
    opens_at: Option<NaiveTime>,
    closes_at: Option<NaiveTime>,
    paused: bool,
    minimum_amount: Decimal,
    freight: Decimal,
    free_freight_from: Option<Decimal>,
    unpaid_minutes: i32,
    accept_minutes: i32,
    day_starts_at: NaiveTime,
    auto_accept: bool,
    accept_timeout: String,
    customer_cancels: bool,
    points_per_yuan: i32,
    points_earned_per_yuan: i32,
    points_earned_on: String,
    offers_dine_in: bool,
    offers_pickup: bool,
    offers_delivery: bool,
    takes_cash: bool,
}

/// The types of [`Row`]'s columns.
pub(super) type RowType = (
    BigInt,
    Text,
    Text,
    Text,
    Nullable<Time>,
    Nullable<Time>,
    Bool,
    Numeric,
    Numeric,
    Nullable<Numeric>,
    Integer,
    Integer,
    Time,
    Bool,
    Text,
    Bool,
    Integer,
    Integer,
    Text,
    Bool,
    Bool,
    Bool,
    Bool,
);

impl TryFrom<Row> for Merchant {
    type Error = Corrupt;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            id: MerchantId(row.id),
            name: LocalText::new(row.name_zh, row.name_en),
            time_zone: row.time_zone.parse()?,
            hours: row.opens_at.zip(row.closes_at).map(|(opens_at, closes_at)| Hours { opens_at, closes_at }),
            paused: row.paused,
            offered: Offered {
                dine_in: row.offers_dine_in,
                pickup: row.offers_pickup,
                delivery: row.offers_delivery,
                cash: row.takes_cash,
            },
            minimum_amount: money(row.minimum_amount)?,
            freight: money(row.freight)?,
            free_freight_from: row.free_freight_from.map(money).transpose()?,
            unpaid_minutes: row.unpaid_minutes,
            accept_minutes: row.accept_minutes,
            day_starts_at: row.day_starts_at,
            auto_accept: row.auto_accept,
            timeout_accepts: row.accept_timeout == "accept",
            customer_cancels: row.customer_cancels,
            points_per_yuan: u32::try_from(row.points_per_yuan)?,
            points_earned_per_yuan: u32::try_from(row.points_earned_per_yuan)?,
            points_earned_on: row.points_earned_on.parse()?,
        })
    }
}

/// The merchant `id`, if there is one.
pub fn find(conn: &mut Conn, id: MerchantId) -> QueryResult<Option<Merchant>> {
    let row: Option<Row> = merchants::table.find(id.0).select(Row::as_select()).first(conn).optional()?;
    row.map(Merchant::try_from).transpose().map_err(corrupt)
}

/// Whether any merchant exists.
pub fn any(conn: &mut Conn) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(merchants::table.select(merchants::id))).get_result(conn)
}

/// A merchant about to be added; what it does not name takes the column's default.
pub struct NewMerchant<'a> {
    /// Its name.
    pub name: &'a LocalText,
    /// Its time zone.
    pub time_zone: Tz,
    /// The least the goods of a delivery must cost, in yuan.
    pub minimum_amount: Money,
    /// What a delivery costs, in yuan.
    pub freight: Money,
    /// From this goods amount on, delivery is free.
    pub free_freight_from: Option<Money>,
}

/// An id for a merchant about to be added: a transaction belongs to a merchant from its start.
pub fn next_id(conn: &mut Conn) -> QueryResult<MerchantId> {
    define_sql_function! {
        /// The next value of a sequence.
        fn nextval(sequence: diesel::sql_types::Text) -> diesel::sql_types::BigInt
    }
    diesel::select(nextval("merchants_id_seq")).get_result(conn).map(MerchantId)
}

/// Adds the merchant this transaction belongs to.
pub fn insert(tx: &mut Tx<'_>, new: &NewMerchant<'_>, now: DateTime<Utc>) -> QueryResult<()> {
    diesel::insert_into(merchants::table)
        .values((
            merchants::id.eq(tx.merchant.0),
            merchants::name_zh.eq(&new.name.zh),
            merchants::name_en.eq(&new.name.en),
            merchants::time_zone.eq(new.time_zone.name()),
            merchants::minimum_amount.eq(new.minimum_amount.decimal()),
            merchants::freight.eq(new.freight.decimal()),
            merchants::free_freight_from.eq(new.free_freight_from.map(Money::decimal)),
            merchants::created_at.eq(now),
        ))
        .execute(tx.conn)?;
    Ok(())
}
