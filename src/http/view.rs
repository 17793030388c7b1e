//! Orders and menus as clients see them. Views are built after commit, and never read back.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use uuid::Uuid;

use super::extract::line;
use crate::domain::LocalText;
use crate::domain::money::Money;
use crate::domain::order::{AddressSnapshot, Fulfilment, Order, OrderLine, OrderState, PayMethod};
use crate::error::Error;

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
        Ok(LocalText::new(line(zh, &self.zh, 50)?, line(en, &self.en, 50)?))
    }
}

/// The schema of one of several names.
pub(super) fn names(names: Vec<&'static str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()
}

fn order_state() -> Object {
    names(OrderState::ALL.iter().map(|state| state.name()).collect())
}

/// The schema of a pay method.
pub(super) fn pay_method() -> Object {
    names(PayMethod::ALL.iter().map(|method| method.name()).collect())
}

/// The schema of an amount.
pub(super) fn amount() -> Object {
    amount_of(SchemaType::new(Type::String))
}

/// The schema of an amount that may be null.
pub(super) fn optional_amount() -> Object {
    amount_of(SchemaType::from_iter([Type::String, Type::Null]))
}

fn amount_of(schema_type: SchemaType) -> Object {
    ObjectBuilder::new()
        .schema_type(schema_type)
        .pattern(Some(r"^[0-9]{1,12}(\.[0-9]{1,2})?$"))
        .examples(["19.80"])
        .description(Some("Yuan (CNY) as a decimal string"))
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
        }
    }
}

/// An order.
#[derive(Serialize, ToSchema)]
#[schema(as = Order)]
pub(super) struct OrderView {
    id: Uuid,
    #[schema(schema_with = order_state)]
    state: &'static str,
    fulfilment: FulfilmentView,
    #[schema(schema_with = pay_method)]
    pay_method: &'static str,
    lines: Vec<LineView>,
    /// The sum of the lines.
    #[schema(schema_with = amount)]
    goods_amount: Money,
    /// What the delivery costs.
    #[schema(schema_with = amount)]
    freight: Money,
    /// What the customer pays.
    #[schema(schema_with = amount)]
    total: Money,
    /// The customer's words: data, never markup.
    remark: String,
    /// Until when it must be paid, if it waits for that.
    pay_by: Option<DateTime<Utc>>,
    /// Until when the restaurant must answer, if it waits for that.
    accept_by: Option<DateTime<Utc>>,
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
            total: order.total,
            remark: order.remark,
            pay_by: order.pay_by,
            accept_by: order.accept_by,
            placed_at: order.placed_at,
        }
    }
}
