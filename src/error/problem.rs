//! What a client is told of an error.

use std::time::Duration;

use serde_json::{Value, json};

use super::Error;
use crate::domain::menu::sheet::Fault;
use crate::domain::placement::BadLines;
use crate::domain::{Language, Refusal};

/// What a client is told.
#[derive(Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The code to branch on.
    pub code: &'static str,
    /// The field at fault, where there is one.
    pub field: Option<String>,
    /// What happened, for people.
    pub detail: String,
    /// Further members, by code.
    pub more: Vec<(&'static str, Value)>,
    /// When to come back.
    pub retry_after: Option<Duration>,
}

const BUSY_FOR: Duration = Duration::from_secs(1);

/// How long a customer types a password, as WeChat Pay has it.
const PAYING_FOR: Duration = Duration::from_secs(5);

/// What is wrong with a sheet, as it is told.
fn told(fault: &Fault, language: Language) -> Value {
    json!({ "row": fault.row, "field": fault.field, "detail": fault.detail(language) })
}

impl Error {
    /// What a client is told of this error. Nothing of the cause where the cause is ours.
    pub fn problem(&self, language: Language) -> Problem {
        let (status, code) = self.status_and_code();
        let retry_after = match self {
            Self::TooManyRequests { retry_after } | Self::NudgedAlready { retry_after } => Some(*retry_after),
            Self::PaymentInProgress => Some(PAYING_FOR),
            _ if status == 503 => Some(BUSY_FOR),
            _ => None,
        };
        let detail = self.detail().said_in(language);
        Problem { status, code, field: self.field(), detail, more: self.more(language), retry_after }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::MalformedBody { field, .. } if !field.is_empty() => Some(field.clone()),
            Self::InvalidField { field, .. } => Some((*field).to_owned()),
            Self::StockTooLow { .. } => Some("delta".to_owned()),
            Self::LoginTaken => Some("login".to_owned()),
            Self::NameTaken => Some("name".to_owned()),
            Self::EmptyCart | Self::BadLines(BadLines::Empty | BadLines::TooMany { .. }) => Some("lines".to_owned()),
            Self::BadLines(BadLines::Count { line, .. }) => Some(format!("lines[{line}].count")),
            Self::KeyMissing | Self::KeyMalformed | Self::KeyReused => Some("Idempotency-Key".to_owned()),
            Self::Refused(refusal) => match refusal {
                Refusal::FulfilmentNotOffered(_) => Some("fulfilment.kind".to_owned()),
                Refusal::PayMethodNotOffered(_) => Some("pay_method".to_owned()),
                Refusal::UnknownAddress => Some("fulfilment.address_id".to_owned()),
                Refusal::UnknownGoods(_) | Refusal::NotOnSale(_) | Refusal::OutOfStock(_) => Some("lines".to_owned()),
                Refusal::PriceChanged { .. } => Some("expected_total".to_owned()),
                Refusal::CartPlaced { .. } => Some("lines".to_owned()),
                Refusal::PointsNotTaken | Refusal::TooFewPoints { .. } | Refusal::TooManyPoints { .. } => {
                    Some("points".to_owned())
                }
                Refusal::ShopPaused | Refusal::ShopClosed { .. } | Refusal::BelowMinimum { .. } => None,
            },
            _ => None,
        }
    }

    fn more(&self, language: Language) -> Vec<(&'static str, Value)> {
        let refusal = match self {
            Self::Refused(refusal) => refusal,
            Self::IllegalMove { made, state } => {
                return vec![("move", json!(made)), ("state", json!(state.name()))];
            }
            Self::Forbidden(permission) => return vec![("permission", json!(permission.name()))],
            Self::RefundTooLarge { amount, left } => return vec![("amount", json!(amount)), ("left", json!(left))],
            Self::PaymentRefused { code } => return vec![("gateway_code", json!(code))],
            Self::RefundGoesOn(state) => return vec![("state", json!(state.name()))],
            Self::BalanceTooLow { balance } => return vec![("balance", json!(balance))],
            Self::StockTooLow { stock } => return vec![("stock", json!(stock))],
            Self::BadSheet(faults) => {
                return vec![("errors", faults.iter().map(|fault| told(fault, language)).collect())];
            }
            _ => return Vec::new(),
        };
        match refusal {
            Refusal::OutOfStock(short) => vec![("short", json!(short))],
            Refusal::UnknownGoods(ids) | Refusal::NotOnSale(ids) => vec![("goods_ids", json!(ids))],
            Refusal::PriceChanged { expected, total } => {
                vec![("expected_total", json!(expected)), ("total", json!(total))]
            }
            Refusal::BelowMinimum { minimum, goods_amount } => {
                vec![("minimum_amount", json!(minimum)), ("goods_amount", json!(goods_amount))]
            }
            Refusal::ShopClosed { opens_at, closes_at } => vec![
                ("opens_at", json!(opens_at.format("%H:%M").to_string())),
                ("closes_at", json!(closes_at.format("%H:%M").to_string())),
            ],
            Refusal::CartPlaced { order_id } => vec![("order_id", json!(order_id))],
            Refusal::TooFewPoints { points, balance } => {
                vec![("points", json!(points)), ("balance", json!(balance))]
            }
            Refusal::TooManyPoints { points, points_max } => {
                vec![("points", json!(points)), ("points_max", json!(points_max))]
            }
            Refusal::ShopPaused
            | Refusal::FulfilmentNotOffered(_)
            | Refusal::PayMethodNotOffered(_)
            | Refusal::UnknownAddress
            | Refusal::PointsNotTaken => Vec::new(),
        }
    }
}
