//! What Alipay is told of refunds, and what its answers mean.
//!
//! Contract: pure. An answer counts only when it names the payment and, where Alipay names it at all, the refund it was asked about. A state
//! that is not known is [`GatewayError::Unclear`], never a guess.
//! <https://opendocs.alipay.com/open/4b7cc5db_alipay.trade.refund>, <https://opendocs.alipay.com/open/8c776df6_alipay.trade.fastpay.refund.query>

use serde::{Deserialize, Serialize};

use super::response::Yuan;
use super::trade::{check, plain, unclear};
use crate::gateway::{GatewayError, RefundStanding, Refunding};

/// Money to go back. Where both numbers of a payment are given, Alipay goes by its own.
#[derive(Debug, Serialize)]
pub(super) struct NewRefund<'a> {
    out_request_no: String,
    out_trade_no: String,
    refund_amount: String,
    refund_reason: String,
    trade_no: &'a str,
}

impl<'a> NewRefund<'a> {
    pub(super) fn of(refund: &Refunding<'a>) -> Self {
        Self {
            out_request_no: refund.number.to_string(),
            out_trade_no: refund.payment.to_string(),
            refund_amount: refund.amount.to_string(),
            refund_reason: plain(refund.reason),
            trade_no: refund.transaction,
        }
    }
}

/// Which refund.
#[derive(Debug, Serialize)]
pub(super) struct WhichRefund<'a> {
    out_request_no: String,
    out_trade_no: String,
    trade_no: &'a str,
}

impl<'a> WhichRefund<'a> {
    pub(super) fn of(refund: &Refunding<'a>) -> Self {
        let (out_request_no, out_trade_no) = (refund.number.to_string(), refund.payment.to_string());
        Self { out_request_no, out_trade_no, trade_no: refund.transaction }
    }
}

/// The answer to a refund.
#[derive(Debug, Deserialize)]
pub(super) struct Refunded {
    out_trade_no: String,
    trade_no: String,
    fund_change: Option<String>,
    /// All that has gone back of the payment, so far.
    refund_fee: Option<Yuan>,
}

impl Refunded {
    /// Where the refund stands. That the call succeeded does not mean that the refund did: `fund_change` must be `Y`. Where it is not, the
    /// refund may have been made by an earlier call of the same number, or not yet: a query tells.
    pub(super) fn standing(&self, refund: &Refunding<'_>) -> Result<RefundStanding, GatewayError> {
        check(&self.out_trade_no, refund.payment)?;
        if self.trade_no != refund.transaction {
            return Err(unclear("the answer is about another transaction"));
        }
        if self.fund_change.as_deref() != Some("Y") {
            return Ok(RefundStanding::Processing);
        }
        match self.refund_fee {
            Some(Yuan(all)) if all < refund.amount || all > refund.paid => {
                Err(unclear("the answer tells of another amount"))
            }
            _ => Ok(RefundStanding::Succeeded),
        }
    }
}

/// The answer to a query of a refund.
#[derive(Debug, Deserialize)]
pub(super) struct QueriedRefund {
    out_trade_no: Option<String>,
    trade_no: Option<String>,
    out_request_no: Option<String>,
    refund_status: Option<String>,
    refund_amount: Option<Yuan>,
}

impl QueriedRefund {
    /// Where the refund stands. Without a state it has not been made, and may be asked for again, under the same number and with the same
    /// amount: that is what Alipay wants to be done, and what [`RefundStanding::Unknown`] has done.
    pub(super) fn standing(&self, refund: &Refunding<'_>) -> Result<RefundStanding, GatewayError> {
        match self.refund_status.as_deref() {
            None | Some("") => return Ok(RefundStanding::Unknown),
            Some("REFUND_SUCCESS") => {}
            Some(other) => return Err(GatewayError::Unclear(format!("the refund's state is {other:?}"))),
        }
        let is = |theirs: &Option<String>, ours: &str| theirs.as_deref() == Some(ours);
        if !is(&self.out_request_no, &refund.number.to_string()) || !is(&self.out_trade_no, &refund.payment.to_string())
        {
            return Err(unclear("the answer is about another refund"));
        }
        let is_other_transaction = self.trade_no.as_deref().is_some_and(|theirs| theirs != refund.transaction);
        if is_other_transaction || self.refund_amount != Some(Yuan(refund.amount)) {
            return Err(unclear("the answer tells of another transaction or amount"));
        }
        Ok(RefundStanding::Succeeded)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::vectors::Vectors;
    use super::*;
    use crate::domain::money::Money;
    use crate::domain::payment::{PaymentNumber, RefundNumber};

    const REFUND: &str = "019300000000700080000000000000cd-2";

    fn number() -> PaymentNumber {
        Vectors::read().number.parse().expect("a number")
    }

    fn money(text: &str) -> Money {
        text.parse().expect("an amount")
    }

    fn refunding() -> Refunding<'static> {
        let refund: RefundNumber = REFUND.parse().expect("a number");
        let (amount, paid) = (money("5"), money("19.80"));
        Refunding { number: refund, payment: number(), transaction: "2026", amount, paid, reason: "a=b" }
    }

    fn written(content: impl Serialize) -> Value {
        serde_json::to_value(content).expect("JSON")
    }

    fn answer<T: for<'de> Deserialize<'de>>(json: Value) -> T {
        serde_json::from_str(&json.to_string()).expect("an answer")
    }

    #[test]
    fn refunds_are_named_by_all_their_numbers() {
        let numbers = json!({ "out_request_no": REFUND, "out_trade_no": number().to_string(), "trade_no": "2026" });
        assert_eq!(written(WhichRefund::of(&refunding())), numbers);
        let mut all = numbers;
        all["refund_amount"] = json!("5.00");
        all["refund_reason"] = json!("a b");
        assert_eq!(written(NewRefund::of(&refunding())), all);
    }

    #[test]
    fn a_refund_is_made_only_where_funds_have_changed() {
        let ours = number().to_string();
        let refunded = |change: Value, fee: Value, payment: &str, transaction: &str| {
            let json =
                json!({ "out_trade_no": payment, "trade_no": transaction, "fund_change": change, "refund_fee": fee });
            answer::<Refunded>(json).standing(&refunding())
        };
        for fee in [json!("5.00"), json!("19.80"), json!(null)] {
            assert_eq!(refunded(json!("Y"), fee.clone(), &ours, "2026"), Ok(RefundStanding::Succeeded));
            for change in [json!("N"), json!(null), json!("y"), json!("")] {
                assert_eq!(refunded(change, fee.clone(), &ours, "2026"), Ok(RefundStanding::Processing));
            }
        }
        for fee in ["4.99", "19.81", "0.00"] {
            assert!(refunded(json!("Y"), json!(fee), &ours, "2026").is_err(), "{fee}");
        }
        assert!(refunded(json!("Y"), json!("5.00"), "other", "2026").is_err());
        assert!(refunded(json!("Y"), json!("5.00"), &ours, "2027").is_err());
    }

    #[test]
    fn a_refund_that_is_asked_about_is_made_unknown_or_not_understood() {
        let good = json!({
            "out_trade_no": number().to_string(), "out_request_no": REFUND, "trade_no": "2026",
            "refund_status": "REFUND_SUCCESS", "refund_amount": "5.00", "total_amount": "19.80"
        });
        let standing = |json: &Value| answer::<QueriedRefund>(json.clone()).standing(&refunding());
        assert_eq!(standing(&good), Ok(RefundStanding::Succeeded));
        assert_eq!(standing(&json!({})), Ok(RefundStanding::Unknown));
        let changed = |name: &str, value: Value| {
            let mut json = good.clone();
            json[name] = value;
            standing(&json)
        };
        assert_eq!(changed("refund_status", json!(null)), Ok(RefundStanding::Unknown));
        assert_eq!(changed("refund_status", json!("")), Ok(RefundStanding::Unknown));
        assert_eq!(changed("trade_no", json!(null)), Ok(RefundStanding::Succeeded));
        for (name, value) in [
            ("refund_status", json!("REFUND_FAIL")),
            ("out_request_no", json!("019300000000700080000000000000cd")),
            ("out_request_no", json!(null)),
            ("out_trade_no", json!("other")),
            ("out_trade_no", json!(null)),
            ("trade_no", json!("2027")),
            ("refund_amount", json!("4.99")),
            ("refund_amount", json!(null)),
        ] {
            assert!(matches!(changed(name, value.clone()), Err(GatewayError::Unclear(_))), "{name} {value}");
        }
    }
}
