//! What WeChat Pay says of payments and refunds, and what that means here.
//!
//! Contract: pure. Account, app, numbers, amounts and currency are compared with ours; fields that are not known are passed over, states
//! that are not known are errors. Amounts are whole fen. Pages: <https://pay.weixin.qq.com/doc/v3/merchant/4012791859> (query),
//! <https://pay.weixin.qq.com/doc/v3/merchant/4012791862> (refunds).

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::credentials::Account;
use crate::domain::money::Money;
use crate::gateway::{Charge, GatewayError, NoticeError, Receipt, RefundStanding, Refunding, Standing};

/// Why something that is verified is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is about somebody or something else.
    NotOurs(&'static str),
    /// It is not understood.
    Strange(String),
}

impl From<Misfit> for GatewayError {
    fn from(misfit: Misfit) -> Self {
        Self::Unclear(match misfit {
            Misfit::NotOurs(what) => format!("its {what} is not ours"),
            Misfit::Strange(why) => why,
        })
    }
}

impl From<Misfit> for NoticeError {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::NotOurs(what) => Self::NotOurs(what),
            Misfit::Strange(why) => Self::Strange(why),
        }
    }
}

/// Reads JSON. The error names the place and not what stands there, which may be a customer's.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(bytes)).map_err(|error| {
        let kind = match error.inner().classify() {
            serde_json::error::Category::Data => "is not as documented",
            _ => "is not JSON",
        };
        Misfit::Strange(format!("{} {kind}", error.path()))
    })
}

/// A payment, in answers to queries and in notices.
#[derive(Deserialize)]
pub(super) struct Transaction {
    appid: String,
    mchid: String,
    pub(super) out_trade_no: String,
    trade_state: String,
    transaction_id: Option<String>,
    /// Only once it is paid.
    amount: Option<Amount>,
}

/// Left out in part where nothing is paid.
#[derive(Deserialize)]
struct Amount {
    total: Option<u64>,
    currency: Option<String>,
}

impl Transaction {
    /// Reads one of the account.
    pub(super) fn read(bytes: &[u8], account: &Account) -> Result<Self, Misfit> {
        let read: Self = parse(bytes)?;
        ours(read.mchid == account.mch_id, "mchid")?;
        ours(read.appid == account.app_id, "appid")?;
        Ok(read)
    }

    /// Where it stands. The states of payments by code do not occur with mini-programs; they mean what they mean there. `REFUND`, money
    /// that has gone back in part or whole, is not among them: a payment that is known to be made is not asked about, so somebody has sent
    /// its money back by hand, and a human must say what the order is worth.
    pub(super) fn standing(&self) -> Result<Standing, Misfit> {
        match self.trade_state.as_str() {
            "SUCCESS" => self.receipt().map(Standing::Paid),
            "NOTPAY" => Ok(Standing::Open),
            // Taken on, or the password is being typed: money may come at any moment.
            "USERPAYING" | "ACCEPT" => Ok(Standing::Paying),
            "CLOSED" | "REVOKED" | "PAYERROR" => Ok(Standing::Closed),
            other => Err(unknown("trade_state", other)),
        }
    }

    fn receipt(&self) -> Result<Receipt, Misfit> {
        let transaction = self.transaction_id.as_ref().filter(|id| !id.is_empty() && id.len() <= 64);
        let transaction = transaction.ok_or_else(|| missing("transaction_id"))?.clone();
        let amount = self.amount.as_ref().ok_or_else(|| missing("amount"))?;
        let currency = amount.currency.as_ref().ok_or_else(|| missing("amount.currency"))?;
        ours(currency == "CNY", "currency")?;
        let amount = amount.total.and_then(money).ok_or_else(|| missing("amount.total"))?;
        Ok(Receipt { transaction, amount })
    }
}

/// A refund, in answers.
#[derive(Deserialize)]
pub(super) struct Refund {
    out_refund_no: String,
    out_trade_no: String,
    transaction_id: String,
    status: String,
    amount: RefundAmount,
}

#[derive(Deserialize)]
struct RefundAmount {
    refund: u64,
    total: u64,
    currency: String,
}

impl Refund {
    /// Where it stands, if it is the one that was asked about.
    pub(super) fn standing(&self, asked: &Refunding<'_>) -> Result<RefundStanding, Misfit> {
        ours(self.out_refund_no == asked.number.to_string(), "out_refund_no")?;
        ours(self.out_trade_no == asked.payment.to_string(), "out_trade_no")?;
        ours(self.transaction_id == asked.transaction, "transaction_id")?;
        ours(self.amount.currency == "CNY", "currency")?;
        ours(self.amount.refund == asked.amount.fen() && self.amount.total == asked.paid.fen(), "amount")?;
        refund_standing(&self.status)
    }
}

/// A refund, in notices.
#[derive(Deserialize)]
pub(super) struct RefundNotice {
    mchid: String,
    pub(super) out_refund_no: String,
    refund_status: String,
    amount: RefundNoticeAmount,
}

#[derive(Deserialize)]
struct RefundNoticeAmount {
    refund: u64,
    total: u64,
}

impl RefundNotice {
    /// Where it stands, as the notice's own type says too.
    pub(super) fn standing(&self, account: &Account, event: &str) -> Result<RefundStanding, Misfit> {
        ours(self.mchid == account.mch_id, "mchid")?;
        let RefundNoticeAmount { refund, total } = self.amount;
        if event.strip_prefix("REFUND.") != Some(self.refund_status.as_str()) || !(1..=total).contains(&refund) {
            return Err(Misfit::Strange(format!(
                "{event} says {} of {refund} of {total} fen",
                shown(&self.refund_status)
            )));
        }
        refund_standing(&self.refund_status)
    }
}

fn refund_standing(status: &str) -> Result<RefundStanding, Misfit> {
    match status {
        "PROCESSING" => Ok(RefundStanding::Processing),
        "SUCCESS" => Ok(RefundStanding::Succeeded),
        "CLOSED" => Ok(RefundStanding::Failed),
        "ABNORMAL" => Ok(RefundStanding::Abnormal),
        other => Err(unknown("status", other)),
    }
}

/// The body that announces a payment. <https://pay.weixin.qq.com/doc/v3/merchant/4012791856>
pub(super) fn charge(account: &Account, charge: &Charge<'_>, openid: &str) -> Value {
    let expires_at = charge.expires_at.with_timezone(&chrono_tz::Asia::Shanghai);
    json!({
        "appid": account.app_id,
        "mchid": account.mch_id,
        "description": cut(charge.description, 127),
        "out_trade_no": charge.number.to_string(),
        "time_expire": expires_at.format("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        "notify_url": account.notify_url,
        "amount": { "total": charge.amount.fen(), "currency": "CNY" },
        "payer": { "openid": openid },
    })
}

/// The body that asks for money to go back.
pub(super) fn refund(account: &Account, refund: &Refunding<'_>) -> Value {
    let mut body = json!({
        "transaction_id": refund.transaction,
        "out_refund_no": refund.number.to_string(),
        "notify_url": account.notify_url,
        "amount": { "refund": refund.amount.fen(), "total": refund.paid.fen(), "currency": "CNY" },
    });
    if !refund.reason.is_empty() {
        body["reason"] = json!(cut(refund.reason, 80));
    }
    body
}

/// The beginning of a text that fits into so many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    let fits = text.char_indices().map(|(at, char)| at + char.len_utf8()).take_while(|end| *end <= bytes_max);
    &text[..fits.last().unwrap_or(0)]
}

/// An amount of fen that is more than nothing and no more than an amount can be.
fn money(fen: u64) -> Option<Money> {
    (1..=Money::MAX.fen()).contains(&fen).then(|| Money::from_fen(fen))
}

fn ours(is: bool, what: &'static str) -> Result<(), Misfit> {
    if is { Ok(()) } else { Err(Misfit::NotOurs(what)) }
}

fn missing(field: &str) -> Misfit {
    Misfit::Strange(format!("{field} is missing, or not as documented"))
}

fn unknown(field: &str, value: &str) -> Misfit {
    Misfit::Strange(format!("{field} {} is not known", shown(value)))
}

/// A word of the provider's, cut and escaped for a message.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(40).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(change: &Value) -> Result<Standing, Misfit> {
        let mut body = json!({
            "appid": "wx1", "mchid": "19", "out_trade_no": "ab", "trade_state": "SUCCESS", "transaction_id": "42",
            "amount": { "total": 1980, "payer_total": 1, "currency": "CNY", "payer_currency": "CNY" },
            "something": "new",
        });
        let object = body.as_object_mut().expect("an object");
        object.extend(change.as_object().expect("an object").clone());
        parse::<Transaction>(body.to_string().as_bytes())?.standing()
    }

    #[test]
    fn every_state_has_one_meaning_and_others_have_none() {
        let paid = Standing::Paid(Receipt { transaction: "42".to_owned(), amount: Money::from_fen(1980) });
        for (state, expected) in [
            ("SUCCESS", Some(paid)),
            ("REFUND", None),
            ("NOTPAY", Some(Standing::Open)),
            ("USERPAYING", Some(Standing::Paying)),
            ("ACCEPT", Some(Standing::Paying)),
            ("CLOSED", Some(Standing::Closed)),
            ("REVOKED", Some(Standing::Closed)),
            ("PAYERROR", Some(Standing::Closed)),
            ("success", None),
            ("SETTLING", None),
            ("", None),
        ] {
            assert_eq!(standing(&json!({ "trade_state": state })).ok(), expected, "{state}");
        }
        let unpaid = json!({ "trade_state": "NOTPAY", "transaction_id": null, "amount": null });
        assert_eq!(standing(&unpaid), Ok(Standing::Open));
    }

    #[test]
    fn paid_is_believed_with_number_amount_and_currency_only() {
        let euro = json!({ "amount": { "total": 1980, "currency": "EUR" } });
        assert_eq!(standing(&euro), Err(Misfit::NotOurs("currency")));
        for strange in [
            json!({ "transaction_id": null }),
            json!({ "transaction_id": "" }),
            json!({ "amount": null }),
            json!({ "amount": { "total": 1980 } }),
            json!({ "amount": { "currency": "CNY" } }),
            json!({ "amount": { "total": 0, "currency": "CNY" } }),
            json!({ "amount": { "total": -1, "currency": "CNY" } }),
            json!({ "amount": { "total": 19.8, "currency": "CNY" } }),
            json!({ "amount": { "total": "1980", "currency": "CNY" } }),
            json!({ "amount": { "total": 99_999_999_999_999_u64 + 1, "currency": "CNY" } }),
            json!({ "amount": { "total": u64::MAX, "currency": "CNY" } }),
        ] {
            assert!(matches!(standing(&strange), Err(Misfit::Strange(_))), "{strange}");
        }
    }

    #[test]
    fn errors_name_the_place_and_not_the_value() {
        let error = standing(&json!({ "amount": { "total": "secret" } })).expect_err("a text");
        assert_eq!(error, Misfit::Strange("amount.total is not as documented".to_owned()));
        let Err(Misfit::Strange(error)) = parse::<Value>(b"{\"a\": secret}") else { panic!("it is no JSON") };
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn refunds_have_four_states() {
        for (status, expected) in [
            ("PROCESSING", Some(RefundStanding::Processing)),
            ("SUCCESS", Some(RefundStanding::Succeeded)),
            ("CLOSED", Some(RefundStanding::Failed)),
            ("ABNORMAL", Some(RefundStanding::Abnormal)),
            ("FAILED", None),
            ("", None),
        ] {
            assert_eq!(refund_standing(status).ok(), expected, "{status}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        for (text, bytes_max, expected) in
            [("饺子", 6, "饺子"), ("饺子", 5, "饺"), ("饺子", 2, ""), ("", 3, ""), ("abc", 2, "ab")]
        {
            assert_eq!(cut(text, bytes_max), expected, "{text} {bytes_max}");
        }
    }
}
