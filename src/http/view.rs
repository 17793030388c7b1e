//! Orders and menus as clients see them. Views are built after commit, and never read back.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, Object, ObjectBuilder, SchemaType, Type};
use uuid::Uuid;

use super::extract::{line, text};
use crate::domain::money::Money;
use crate::domain::moves::{Move, Reason, Why};
use crate::domain::order::{AddressSnapshot, Fulfilment, FulfilmentKind, Order, OrderLine, OrderState, PayMethod};
use crate::domain::typed::NAME_CHARS_MAX;
use crate::domain::{LocalText, Named};
use crate::error::Error;
use crate::store::moves::EventRow;

/// A text in both languages.
#[derive(Serialize, ToSchema)]
pub(super) struct Text {
    #[schema(example = "宫保鸡丁")]
    zh: String,
    #[schema(example = "Kung Pao chicken")]
    en: String,
}

impl From<LocalText> for Text {
    fn from(text: LocalText) -> Self {
        Self { zh: text.zh, en: text.en }
    }
}

impl Text {
    pub(super) fn new(zh: String, en: String) -> Self {
        Self { zh, en }
    }
}

/// A name in both languages, as the staff type it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NameFields {
    #[schema(example = "宫保鸡丁", min_length = 1, max_length = 50)]
    zh: String,
    #[schema(example = "Kung Pao chicken", min_length = 1, max_length = 50)]
    en: String,
}

impl NameFields {
    pub(super) fn checked(&self, zh: &'static str, en: &'static str) -> Result<LocalText, Error> {
        Ok(LocalText::new(line(zh, &self.zh, NAME_CHARS_MAX)?, line(en, &self.en, NAME_CHARS_MAX)?))
    }
}

/// The schema of one of several names.
pub(super) fn names(names: Vec<&'static str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()
}

/// The schema of an enum's names.
pub(super) fn name_of<T: Named>() -> Object {
    names(T::ALL.iter().map(|value| value.name()).collect())
}

/// The schema of the ways that orders can be had: one of them at least.
pub(super) fn fulfilments() -> Array {
    ArrayBuilder::new()
        .items(name_of::<FulfilmentKind>())
        .min_items(Some(1))
        .description(Some("How orders can be had"))
        .build()
}

/// The schema of an amount.
pub(super) fn amount() -> Object {
    amount_of(SchemaType::new(Type::String), YUAN)
}

/// The schema of an amount that may be null.
pub(super) fn optional_amount() -> Object {
    amount_of(SchemaType::from_iter([Type::String, Type::Null]), YUAN)
}

/// The schema of a merchant's minimum.
pub(super) fn minimum_amount() -> Object {
    let description =
        "The least the goods of a delivery must cost, in yuan (CNY) as a decimal string; other orders have no minimum";
    amount_of(SchemaType::new(Type::String), description)
}

const YUAN: &str = "Yuan (CNY) as a decimal string";

fn amount_of(schema_type: SchemaType, description: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(schema_type)
        .pattern(Some(r"^[0-9]{1,12}(\.[0-9]{1,2})?$"))
        .examples(["19.80"])
        .description(Some(description))
        .build()
}

/// Who receives a delivery, and where.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressFields {
    #[schema(example = "李雷", min_length = 1, max_length = 50)]
    pub(super) contact: String,
    /// At least three digits, with + - ( ) # and blanks between them.
    #[schema(example = "13800138000", min_length = 3, max_length = 30)]
    pub(super) phone: String,
    #[schema(min_length = 1, max_length = 200, example = "滨江路 88 号 3 单元 502")]
    pub(super) place: String,
}

impl From<AddressSnapshot> for AddressFields {
    fn from(address: AddressSnapshot) -> Self {
        Self { contact: address.contact, phone: address.phone, place: address.place }
    }
}

fn reason() -> Object {
    names(Reason::ALL.iter().filter(|reason| reason.is_for_people()).map(|reason| reason.name()).collect())
}

/// Why something is done.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = Reason)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonFields {
    /// The reason's code.
    #[schema(schema_with = reason)]
    reason: String,
    /// Words that go with it, at most 200 characters; needed where the code is `other`.
    #[serde(default)]
    note: String,
}

impl ReasonFields {
    /// The reason, if people may give it.
    pub(super) fn checked(&self) -> Result<Why, Error> {
        let known = self.reason.parse().ok().filter(|reason: &Reason| reason.is_for_people());
        let reason = known.ok_or_else(|| Error::invalid("reason", "没有此原因", "there is no such reason"))?;
        let note = text("note", &self.note, 200)?;
        if reason == Reason::Other && note.is_empty() {
            let en = "say why, where the reason is other";
            return Err(Error::invalid("note", "原因为 other 时须说明", en));
        }
        Ok(Why { reason, note })
    }
}

/// How an order reaches the customer.
#[derive(Serialize, ToSchema)]
#[schema(as = Fulfilment)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum FulfilmentView {
    /// Served at a table.
    DineIn {
        /// The table.
        table: String,
    },
    /// Fetched at the counter.
    Pickup,
    /// Brought to an address, as it was when the order was placed.
    Delivery {
        /// The address.
        address: AddressFields,
    },
}

impl From<Fulfilment<AddressSnapshot>> for FulfilmentView {
    fn from(fulfilment: Fulfilment<AddressSnapshot>) -> Self {
        match fulfilment {
            Fulfilment::DineIn { table } => Self::DineIn { table },
            Fulfilment::Pickup => Self::Pickup,
            Fulfilment::Delivery(address) => Self::Delivery { address: address.into() },
        }
    }
}

/// One kind of goods in an order, as it was when the order was placed.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderLine)]
struct LineView {
    goods_id: i64,
    name: Text,
    spec: Text,
    /// Yuan a unit.
    #[schema(schema_with = amount)]
    price: Money,
    count: u32,
    /// Units that went back into stock.
    returned_count: u32,
    /// Units that were paid back.
    refunded_count: u32,
    /// Yuan for the line.
    #[schema(schema_with = amount)]
    amount: Money,
}

impl From<OrderLine> for LineView {
    fn from(line: OrderLine) -> Self {
        Self {
            amount: line.amount(),
            goods_id: line.goods_id.0,
            name: line.name.into(),
            spec: line.spec.into(),
            price: line.price,
            count: line.count,
            returned_count: line.returned_count,
            refunded_count: line.refunded_count,
        }
    }
}

/// An order.
#[derive(Serialize, ToSchema)]
#[schema(as = Order)]
pub(super) struct OrderView {
    id: Uuid,
    #[schema(schema_with = name_of::<OrderState>)]
    state: &'static str,
    fulfilment: FulfilmentView,
    #[schema(schema_with = name_of::<PayMethod>)]
    pay_method: &'static str,
    lines: Vec<LineView>,
    /// The sum of the lines.
    #[schema(schema_with = amount)]
    goods_amount: Money,
    /// What the delivery costs.
    #[schema(schema_with = amount)]
    freight: Money,
    /// Points spent on it.
    points_used: u64,
    /// What they take off the price.
    #[schema(schema_with = amount)]
    points_amount: Money,
    /// What the customer pays.
    #[schema(schema_with = amount)]
    total: Money,
    /// The number it is called by, once it is accepted.
    pickup_no: Option<u32>,
    /// The customer's words: data, never markup.
    remark: String,
    /// Until when it must be paid, if it waits for that.
    pay_by: Option<DateTime<Utc>>,
    /// Until when the restaurant must answer, if it waits for that.
    accept_by: Option<DateTime<Utc>>,
    /// When its money came in.
    paid_at: Option<DateTime<Utc>>,
    /// When the restaurant means to have it ready.
    promised_at: Option<DateTime<Utc>>,
    /// When the customer last asked where it is.
    nudged_at: Option<DateTime<Utc>>,
    placed_at: DateTime<Utc>,
}

impl From<Order> for OrderView {
    fn from(order: Order) -> Self {
        Self {
            id: order.id.0,
            state: order.state.name(),
            fulfilment: order.fulfilment.into(),
            pay_method: order.pay_method.name(),
            lines: order.lines.into_iter().map(LineView::from).collect(),
            goods_amount: order.goods_amount,
            freight: order.freight,
            points_used: order.points_used,
            points_amount: order.points_amount,
            total: order.total,
            pickup_no: order.pickup_no,
            remark: order.remark,
            pay_by: order.pay_by,
            accept_by: order.accept_by,
            paid_at: order.paid_at,
            promised_at: order.promised_at,
            nudged_at: order.nudged_at,
            placed_at: order.placed_at,
        }
    }
}

/// A move of an order, as its history tells it.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderEvent)]
pub(super) struct EventView {
    /// From one, without gaps.
    seq: i32,
    /// What was done.
    #[schema(schema_with = name_of::<Move>)]
    #[serde(rename = "move")]
    made: String,
    #[schema(schema_with = name_of::<OrderState>)]
    from: String,
    #[schema(schema_with = name_of::<OrderState>)]
    to: String,
    /// Who did it: `customer`, `timer`, `gateway`, or `staff`, for the staff themselves with the member's id.
    actor: String,
    /// Why, as a code and in words.
    reason: Option<WhyView>,
    happened_at: DateTime<Utc>,
}

/// Why something was done.
#[derive(Serialize, ToSchema)]
#[schema(as = Why)]
struct WhyView {
    code: &'static str,
    words: Text,
    /// What was said with it.
    note: Option<String>,
}

impl EventView {
    /// For the staff, who may know which of them it was.
    pub(super) fn for_staff(row: EventRow) -> Self {
        let why = |reason: Reason| {
            let (zh, en) = reason.words();
            WhyView { code: reason.name(), words: Text::new(zh.to_owned(), en.to_owned()), note: row.note.clone() }
        };
        Self {
            reason: row.reason.as_deref().and_then(|reason| reason.parse().ok()).map(why),
            seq: row.seq,
            made: row.made,
            from: row.from,
            to: row.to,
            actor: row.actor,
            happened_at: row.happened_at,
        }
    }

    /// For the customer, whom the staff's names do not concern.
    pub(super) fn for_customer(mut row: EventRow) -> Self {
        if let Some(end) = row.actor.find(' ') {
            row.actor.truncate(end);
        }
        Self::for_staff(row)
    }
}
