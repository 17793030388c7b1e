//! What Alipay is told of payments, and what its answers mean.
//!
//! Contract: pure. An answer counts only when it names the payment it was asked about; a state that is not known is
//! [`GatewayError::Unclear`], never a guess.
//! <https://opendocs.alipay.com/open/59da99d0_alipay.trade.page.pay> and its neighbours

use serde::{Deserialize, Serialize};

use super::request::china_time;
use super::response::Yuan;
use crate::domain::payment::{Channel, PaymentNumber};
use crate::gateway::{Charge, GatewayError, Receipt, Standing};

/// A new payment. What is not there is not sent.
#[derive(Debug, Default, Serialize)]
pub(super) struct NewTrade<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer_open_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    op_app_id: Option<&'a str>,
    out_trade_no: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_code: Option<&'static str>,
    subject: String,
    time_expire: String,
    total_amount: String,
}

impl<'a> NewTrade<'a> {
    /// # Errors
    /// [`GatewayError::Refused`] where a mini-program's customer is not known to Alipay.
    pub(super) fn of(charge: &Charge<'a>, app_id: &'a str) -> Result<Self, GatewayError> {
        let trade = Self {
            out_trade_no: charge.number.to_string(),
            subject: plain(charge.description),
            time_expire: china_time(charge.expires_at),
            total_amount: charge.amount.to_string(),
            ..Self::default()
        };
        Ok(match charge.channel {
            Channel::Page => Self { product_code: Some("FAST_INSTANT_TRADE_PAY"), ..trade },
            Channel::Wap => Self { product_code: Some("QUICK_WAP_WAY"), ..trade },
            Channel::Qr => trade,
            Channel::MiniProgram => {
                let Some(payer) = charge.payer else {
                    let message = "the customer has not logged in at Alipay".to_owned();
                    return Err(GatewayError::Refused { code: "no_payer".to_owned(), message });
                };
                // Customers have one of two kinds of ids, and each has a field of its own.
                let is_user_id =
                    payer.len() == 16 && payer.starts_with("2088") && payer.bytes().all(|b| b.is_ascii_digit());
                let (buyer_id, buyer_open_id) = if is_user_id { (Some(payer), None) } else { (None, Some(payer)) };
                let op_app_id = Some(app_id);
                Self { product_code: Some("JSAPI_PAY"), op_app_id, buyer_id, buyer_open_id, ..trade }
            }
        })
    }
}

/// A text without what Alipay forbids in one.
pub(super) fn plain(text: &str) -> String {
    text.replace(['/', '=', '&'], " ")
}

/// Which payment.
#[derive(Debug, Serialize)]
pub(super) struct Which {
    out_trade_no: String,
}

impl Which {
    pub(super) fn of(number: PaymentNumber) -> Self {
        Self { out_trade_no: number.to_string() }
    }
}

pub(super) fn unclear(why: &str) -> GatewayError {
    GatewayError::Unclear(why.to_owned())
}

/// Whether an answer is about the payment it was asked about.
pub(super) fn check(theirs: &str, ours: PaymentNumber) -> Result<(), GatewayError> {
    if theirs == ours.to_string() { Ok(()) } else { Err(unclear("the answer is about another payment")) }
}

/// The answer to a new payment in a mini-program.
#[derive(Debug, Deserialize)]
pub(super) struct Created {
    out_trade_no: String,
    trade_no: String,
}

impl Created {
    /// Alipay's number of the payment.
    pub(super) fn trade_no(self, number: PaymentNumber) -> Result<String, GatewayError> {
        check(&self.out_trade_no, number).map(|()| self.trade_no)
    }
}

/// The answer to a new payment by code.
#[derive(Debug, Deserialize)]
pub(super) struct Precreated {
    out_trade_no: String,
    qr_code: String,
}

impl Precreated {
    /// What the code says.
    pub(super) fn code(self, number: PaymentNumber) -> Result<String, GatewayError> {
        check(&self.out_trade_no, number).map(|()| self.qr_code)
    }
}

/// The answer to a query.
#[derive(Debug, Deserialize)]
pub(super) struct Queried {
    out_trade_no: String,
    trade_no: String,
    trade_status: String,
    total_amount: Yuan,
}

impl Queried {
    /// Where the payment stands. `TRADE_CLOSED` is also what a payment becomes whose money has all gone back: either way there is none left
    /// in it, and none can come.
    pub(super) fn standing(self, number: PaymentNumber) -> Result<Standing, GatewayError> {
        check(&self.out_trade_no, number)?;
        match self.trade_status.as_str() {
            "WAIT_BUYER_PAY" => Ok(Standing::Open),
            "TRADE_SUCCESS" | "TRADE_FINISHED" => {
                Ok(Standing::Paid(Receipt { transaction: self.trade_no, amount: self.total_amount.0 }))
            }
            "TRADE_CLOSED" => Ok(Standing::Closed),
            other => Err(GatewayError::Unclear(format!("the payment's state is {other:?}"))),
        }
    }
}

/// The answer to a close.
#[derive(Debug, Deserialize)]
pub(super) struct Closed {
    out_trade_no: String,
}

impl Closed {
    pub(super) fn check(&self, number: PaymentNumber) -> Result<(), GatewayError> {
        check(&self.out_trade_no, number)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};
    use serde_json::{Value, json};

    use super::super::vectors::Vectors;
    use super::*;
    use crate::domain::money::Money;

    fn number() -> PaymentNumber {
        Vectors::read().number.parse().expect("a number")
    }

    fn money(text: &str) -> Money {
        text.parse().expect("an amount")
    }

    fn charge(channel: Channel, payer: Option<&str>) -> Charge<'_> {
        let expires_at = Utc.with_ymd_and_hms(2026, 11, 21, 4, 15, 0).single().expect("a time");
        Charge { number: number(), amount: money("19.8"), description: "饺子/面=1&2", channel, payer, expires_at }
    }

    fn written(content: impl Serialize) -> Value {
        serde_json::to_value(content).expect("JSON")
    }

    fn answer<T: for<'de> Deserialize<'de>>(json: Value) -> T {
        serde_json::from_str(&json.to_string()).expect("an answer")
    }

    #[test]
    fn each_channel_is_told_what_it_needs() {
        let base = json!({
            "out_trade_no": number().to_string(), "subject": "饺子 面 1 2", "time_expire": "2026-11-21 12:15:00", "total_amount": "19.80"
        });
        let with = |extra: Value| {
            let mut all = base.clone();
            all.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            all
        };
        for (channel, payer, extra) in [
            (Channel::Page, None, json!({ "product_code": "FAST_INSTANT_TRADE_PAY" })),
            (Channel::Wap, Some("2088000000000009"), json!({ "product_code": "QUICK_WAP_WAY" })),
            (Channel::Qr, None, json!({})),
            (
                Channel::MiniProgram,
                Some("2088000000000009"),
                json!({ "product_code": "JSAPI_PAY", "op_app_id": "7", "buyer_id": "2088000000000009" }),
            ),
            (
                Channel::MiniProgram,
                Some("074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5"),
                json!({ "product_code": "JSAPI_PAY", "op_app_id": "7", "buyer_open_id": "074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5" }),
            ),
        ] {
            let trade = NewTrade::of(&charge(channel, payer), "7").expect("it is complete");
            assert_eq!(written(trade), with(extra), "{channel}");
        }
        let nobody = NewTrade::of(&charge(Channel::MiniProgram, None), "7");
        assert!(matches!(nobody, Err(GatewayError::Refused { .. })));
    }

    #[test]
    fn states_of_payments_map_and_unknown_ones_do_not() {
        let queried = |status: &str, out_trade_no: &str| {
            let json = json!({ "out_trade_no": out_trade_no, "trade_no": "2026", "trade_status": status, "total_amount": "19.80" });
            answer::<Queried>(json).standing(number()).ok()
        };
        let paid = Standing::Paid(Receipt { transaction: "2026".to_owned(), amount: money("19.80") });
        for (status, expected) in [
            ("WAIT_BUYER_PAY", Some(Standing::Open)),
            ("TRADE_SUCCESS", Some(paid.clone())),
            ("TRADE_FINISHED", Some(paid)),
            ("TRADE_CLOSED", Some(Standing::Closed)),
            ("TRADE_PENDING", None),
            ("trade_success", None),
            ("", None),
        ] {
            assert_eq!(queried(status, &number().to_string()), expected, "{status}");
            assert_eq!(queried(status, "019300000000700080000000000000ac"), None, "{status} of another");
        }
        for incomplete in [json!({}), json!({ "trade_status": "TRADE_SUCCESS" })] {
            assert!(serde_json::from_str::<Queried>(&incomplete.to_string()).is_err());
        }
    }

    #[test]
    fn answers_about_other_payments_do_not_count() {
        let (ours, other) = (number().to_string(), "019300000000700080000000000000ac");
        let created =
            |of: &str| answer::<Created>(json!({ "out_trade_no": of, "trade_no": "2026" })).trade_no(number());
        let precreated =
            |of: &str| answer::<Precreated>(json!({ "out_trade_no": of, "qr_code": "https://q" })).code(number());
        let closed = |of: &str| answer::<Closed>(json!({ "out_trade_no": of })).check(number());
        assert_eq!(
            (created(&ours), precreated(&ours), closed(&ours)),
            (Ok("2026".to_owned()), Ok("https://q".to_owned()), Ok(()))
        );
        assert!(created(other).is_err() && precreated(other).is_err() && closed(other).is_err());
    }
}
