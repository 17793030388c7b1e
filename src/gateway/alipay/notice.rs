//! What Alipay sends of its own accord: a form, signed.
//!
//! Contract: pure, and no bytes make it panic. It is decoded once, to bytes: the signature is over those, whatever their charset, and every
//! field that is read here is plain ASCII. What is meant for others than this application and seller is told apart from what is forged.
//! <https://opendocs.alipay.com/open/270/105902>

use percent_encoding::percent_decode;

use super::credentials::Account;
use super::sign;
use crate::domain::money::Money;
use crate::domain::payment::RefundNumber;
use crate::gateway::{Notice, NoticeError, Receipt, RefundStanding, Says};

/// A form's fields, decoded once.
struct Fields(Vec<(Vec<u8>, Vec<u8>)>);

impl Fields {
    /// `+` is a blank, `%2B` a plus. None where a field stands twice: nobody could say which was meant.
    fn read(body: &[u8]) -> Option<Self> {
        let decode = |part: &[u8]| -> Vec<u8> {
            let blanks: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
            percent_decode(&blanks).collect()
        };
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            fields.push((decode(halves.next().unwrap_or_default()), decode(halves.next().unwrap_or_default())));
        }
        fields.sort_unstable();
        let is_unique = fields.windows(2).all(|pair| pair[0].0 != pair[1].0);
        is_unique.then_some(Self(fields))
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.0.iter().find(|(other, _)| other == name.as_bytes()).map_or(&[], |(_, value)| value)
    }

    /// A field of ASCII; empty where it is not there.
    fn text(&self, name: &str) -> Result<&str, NoticeError> {
        let bytes = self.bytes(name);
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii());
        text.ok_or_else(|| NoticeError::Strange(format!("{name} is no plain text")))
    }

    /// A field of ASCII that must be there.
    fn needed(&self, name: &str) -> Result<&str, NoticeError> {
        match self.text(name)? {
            "" => Err(NoticeError::Strange(format!("{name} is missing"))),
            text => Ok(text),
        }
    }

    /// Whether Alipay has signed all fields but `sign` and `sign_type`.
    fn are_signed(&self, account: &Account) -> bool {
        let signature = self.bytes("sign");
        let mut signed: Vec<(&[u8], &[u8])> =
            self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        signed.retain(|(name, _)| ![b"sign".as_slice(), b"sign_type"].contains(name));
        if account.alipay_key.verifies(&sign::canonical(&signed), signature) {
            return true;
        }
        // Alipay's own libraries differ on whether the certificate's number and empty fields are part of the text. Neither says anything of
        // a payment, so either signature will do.
        let count = signed.len();
        signed.retain(|(name, value)| *name != b"alipay_cert_sn" && !value.is_empty());
        signed.len() < count && account.alipay_key.verifies(&sign::canonical(&signed), signature)
    }
}

/// Verifies and reads a notice.
///
/// # Errors
/// [`NoticeError`].
pub(super) fn read(account: &Account, body: &[u8]) -> Result<Notice, NoticeError> {
    let fields = Fields::read(body).ok_or(NoticeError::Unverified("a field stands there twice"))?;
    if fields.bytes("sign_type") != b"RSA2" {
        return Err(NoticeError::Unverified("it is not signed by RSA2"));
    }
    if let Some(ours) = &account.certificates
        && ![b"".as_slice(), ours.alipay.as_bytes()].contains(&fields.bytes("alipay_cert_sn"))
    {
        return Err(NoticeError::Unverified("it is signed with another certificate than alipay_cert"));
    }
    if !fields.are_signed(account) {
        return Err(NoticeError::Unverified("the signature is wrong"));
    }
    // From here on Alipay has said it.
    if fields.bytes("app_id") != account.app_id.as_bytes() {
        return Err(NoticeError::NotOurs("app_id"));
    }
    let id = fields.needed("notify_id")?.to_owned();
    if !["", "trade_status_sync"].contains(&fields.text("notify_type")?) {
        // Of agreements, accounts and the like; they need not name a seller.
        return Ok(Notice { id, says: Says::Nothing });
    }
    if fields.bytes("seller_id") != account.seller_id.as_bytes() {
        return Err(NoticeError::NotOurs("seller_id"));
    }
    Ok(Notice { id, says: says(&fields)? })
}

/// What a notice of a payment says.
fn says(fields: &Fields) -> Result<Says, NoticeError> {
    let number = fields.needed("out_trade_no")?.to_owned();
    let status = fields.needed("trade_status")?;
    let is_of_refund = !fields.bytes("out_biz_no").is_empty()
        || !fields.bytes("gmt_refund").is_empty()
        || !["", "0", "0.00"].contains(&fields.text("refund_fee")?);
    match status {
        // A payment of which money has gone back is told of anew, in the state it has then. It says nothing new of the payment, and names the
        // refund, but not how much of the money was that one's: enough to have it queried.
        "TRADE_SUCCESS" | "TRADE_FINISHED" | "TRADE_CLOSED" if is_of_refund => {
            let refund: Option<RefundNumber> = fields.text("out_biz_no")?.parse().ok();
            let refund =
                refund.map(|number| Says::Refund { number: number.to_string(), standing: RefundStanding::Processing });
            Ok(refund.unwrap_or(Says::Nothing))
        }
        "TRADE_SUCCESS" | "TRADE_FINISHED" => {
            let amount: Result<Money, _> = fields.needed("total_amount")?.parse();
            let amount = amount.map_err(|_| NoticeError::Strange("total_amount is no amount".to_owned()))?;
            let transaction = fields.needed("trade_no")?.to_owned();
            Ok(Says::Paid { number, receipt: Receipt { transaction, amount } })
        }
        "WAIT_BUYER_PAY" | "TRADE_CLOSED" => Ok(Says::Nothing),
        other => Err(NoticeError::Strange(format!("trade_status is {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::vectors::Vectors;
    use super::*;

    static ACCOUNT: LazyLock<Account> = LazyLock::new(|| Vectors::read().account(true));

    fn shown(result: &Result<Notice, NoticeError>) -> Value {
        match result {
            Ok(Notice { says: Says::Paid { number, receipt }, .. }) => {
                json!({ "paid": { "number": number, "transaction": receipt.transaction, "amount": receipt.amount } })
            }
            Ok(Notice { says: Says::Refund { number, standing: RefundStanding::Processing }, .. }) => {
                json!({ "refund": number })
            }
            Ok(Notice { says: Says::Refund { .. }, .. }) => json!("believed"),
            Ok(Notice { says: Says::Nothing, .. }) => json!("nothing"),
            Err(NoticeError::Unverified(_)) => json!("unverified"),
            Err(NoticeError::NotOurs(_)) => json!("not_ours"),
            Err(NoticeError::Strange(_)) => json!("strange"),
        }
    }

    #[test]
    fn notices_say_what_another_implementation_has_put_into_them() {
        let vectors = Vectors::read();
        for account in [vectors.account(false), vectors.account(true)] {
            for notice in &vectors.notices {
                let read = read(&account, notice.body.as_bytes());
                assert_eq!(shown(&read), notice.says, "{}: {read:?}", notice.name);
            }
        }
        let first = &vectors.notices[0].body;
        let id = read(&vectors.account(false), first.as_bytes()).expect("it is good").id;
        assert_eq!(id, "2026112100222120100000000001");
    }

    #[test]
    fn no_byte_of_a_notice_can_be_another() {
        let vectors = Vectors::read();
        let (account, notice) = (vectors.account(false), &vectors.notices[0]);
        let good = notice.body.as_bytes();
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            let result = read(&account, &bad);
            // Some changes are none: `%2B` and `%2b` are one byte.
            assert!(result.is_err() || shown(&result) == notice.says, "byte {at}: {result:?}");
        }
    }

    #[test]
    fn another_certificate_is_refused() {
        let vectors = Vectors::read();
        let mut account = vectors.account(true);
        account.certificates.as_mut().expect("certificates").alipay = "other".to_owned();
        let notice = vectors
            .notices
            .iter()
            .find(|notice| notice.name == "with a certificate number that is signed")
            .expect("it is there");
        let error = read(&account, notice.body.as_bytes()).expect_err("another certificate");
        assert!(error.to_string().contains("alipay_cert"), "{error}");
    }

    #[test]
    fn forms_are_decoded_once() {
        let fields = Fields::read(b"a=+%2B%252B&b&c==&%64=%zz%e9&&").expect("no field stands there twice");
        assert_eq!(fields.bytes("a"), b" +%2B");
        assert_eq!(fields.bytes("b"), b"");
        assert_eq!(fields.bytes("c"), b"=");
        assert_eq!(fields.bytes("d"), b"%zz\xe9");
        assert!(fields.text("d").is_err());
        for twice in ["a=1&a=1", "a=1&%61=2", "a&b&a="] {
            assert!(Fields::read(twice.as_bytes()).is_none(), "{twice}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&ACCOUNT, &bytes).is_err());
        }

        #[test]
        fn no_form_makes_it_panic(form in "(sign_type=RSA2&)?([a-c%=&+]|sign=|notify_id=|%[0-9A-F]{0,2}){0,40}") {
            prop_assert!(read(&ACCOUNT, form.as_bytes()).is_err());
        }

        /// Not even what Alipay has signed, whatever that may be.
        #[test]
        fn no_fields_make_it_panic(
            values in proptest::collection::vec("[A-Z_]{0,3}|TRADE_(SUCCESS|CLOSED)|[0-9]{1,3}[.][0-9]{0,3}|%[0-9A-F]{2}|[0-9a-f]{32}(-[0-9]{1,12})?", 8),
        ) {
            let names = ["out_trade_no", "trade_status", "out_biz_no", "gmt_refund", "refund_fee", "total_amount", "trade_no", "x"];
            let pairs: Vec<String> = names.iter().zip(&values).map(|(name, value)| format!("{name}={value}")).collect();
            let fields = Fields::read(pairs.join("&").as_bytes()).expect("no field stands there twice");
            if let Ok(Says::Paid { receipt, .. }) = says(&fields) {
                prop_assert!(!receipt.transaction.is_empty());
            }
        }
    }
}
