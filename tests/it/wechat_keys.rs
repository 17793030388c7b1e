//! Whose signatures are good: WeChat Pay's certificates and public keys, against a server that plays it.

use chrono::TimeDelta;
use rowlock::gateway::{Envelope, NoticeError, Says};
use serde_json::json;

use crate::wechat::{Account, OWN_KEY, charge, number, paid, prepay, transaction, word};
use crate::wechat_mock::{By, Reply, certificates, good, signed, vectors};

const CERTIFICATES: &str = "platform_certificates = true\n";

/// A notice of the vectors' transaction.
fn notice(account: &Account, by: By) -> Result<Says, NoticeError> {
    let body = vectors()["notice"]["body"].as_str().unwrap();
    let headers = signed(by, body, account.clock.now().timestamp());
    let find =
        |name: &str| headers.iter().find(|(known, _)| known.to_lowercase() == name).map(|(_, value)| value.as_str());
    let envelope = Envelope { header: &find, body: body.as_bytes() };
    account.gateway.read_notice(&envelope).map(|notice| notice.says)
}

#[test]
fn certificates_are_fetched_when_they_are_needed() {
    let account = Account::with(CERTIFICATES);
    let answer = || Reply::Signed(By::Certificate(0), 200, transaction(json!({})).to_string());
    let query = |paths: usize| {
        let (result, asked) = account.answered(&[answer()], |gateway| gateway.query(number()));
        assert_eq!(result, Ok(paid()));
        assert_eq!(asked.len(), paths, "{asked:?}");
    };
    query(2);
    query(1);
    account.clock.advance(TimeDelta::hours(12) - TimeDelta::seconds(1));
    query(1);
    account.clock.advance(TimeDelta::seconds(1));
    query(2);
    // The list cannot be had: the old certificates do, and nobody asks again for a minute.
    account.provider.lists(Reply::Unsigned(500, String::new()));
    account.clock.advance(TimeDelta::hours(12));
    query(2);
    query(1);
    account.clock.advance(TimeDelta::minutes(1));
    query(2);
    account.provider.lists(certificates(&[0], By::Certificate(0)));
    account.clock.advance(TimeDelta::minutes(1));
    query(2);
    // A new key: found by its serial, at most once a minute.
    let unknown = Err(NoticeError::Unverified("it was signed with a key that is not known"));
    assert_eq!(notice(&account, By::Certificate(1)), unknown);
    assert_eq!(account.provider.paths().len(), 0, "it was asked for less than a minute ago");
    account.clock.advance(TimeDelta::minutes(1));
    for _ in 0..5 {
        assert_eq!(notice(&account, By::Certificate(1)), unknown);
    }
    assert_eq!(account.provider.paths(), ["/v3/certificates"]);
    account.provider.lists(certificates(&[0, 1], By::Certificate(1)));
    account.clock.advance(TimeDelta::minutes(1));
    for by in [By::Certificate(1), By::Certificate(0)] {
        assert!(matches!(notice(&account, by), Ok(Says::Paid { .. })), "{by:?}");
    }
    assert_eq!(account.provider.paths(), ["/v3/certificates"]);
    // What names a public key is in no list.
    account.clock.advance(TimeDelta::minutes(1));
    assert_eq!(notice(&account, By::PublicKey), unknown);
    assert_eq!(notice(&account, By::Impostor), Err(NoticeError::Unverified("its signature is false")));
    assert_eq!(account.provider.paths().len(), 0);
}

#[test]
fn without_certificates_nothing_is_asked() {
    let Reply::Signed(_, _, list) = certificates(&[0], By::Certificate(0)) else { panic!("it is signed") };
    for bad in [
        Reply::Unsigned(200, list.clone()),
        certificates(&[0], By::Impostor),
        certificates(&[0], By::Certificate(1)),
        certificates(&[0], By::PublicKey),
        Reply::Unsigned(200, "{}".to_owned()),
        Reply::Signed(By::Certificate(0), 200, list.replace("\"certificate\"", "\"other\"")),
        Reply::Reset,
    ] {
        let account = Account::with(CERTIFICATES);
        account.provider.lists(bad.clone());
        let (result, asked) = account.answered(&[good(200, &prepay())], |gateway| gateway.create(&charge()));
        assert_eq!(word(&result), "unsent", "{bad:?}");
        assert!(asked.iter().all(|asked| asked.path == "/v3/certificates"), "{asked:?}");
    }
    // A certificate that has run out vouches for nothing.
    let account = Account::with(CERTIFICATES);
    account.provider.lists(Reply::Signed(By::Certificate(0), 200, list.replace("2030-01-01", "2026-11-22")));
    assert!(notice(&account, By::Certificate(0)).is_ok());
    account.clock.advance(TimeDelta::days(1));
    let unknown = Err(NoticeError::Unverified("it was signed with a key that is not known"));
    assert_eq!(notice(&account, By::Certificate(0)), unknown);
}

#[test]
fn both_kinds_of_keys_are_known_while_an_account_moves() {
    let account = Account::with(&format!("{OWN_KEY}{CERTIFICATES}"));
    account.provider.lists(certificates(&[0], By::PublicKey));
    for by in [By::PublicKey, By::Certificate(0)] {
        let reply = Reply::Signed(by, 200, transaction(json!({})).to_string());
        let (result, _) = account.answered(&[reply], |gateway| gateway.query(number()));
        assert_eq!(result, Ok(paid()), "{by:?}");
        assert!(matches!(notice(&account, by), Ok(Says::Paid { .. })), "{by:?}");
    }
    // With a public key, the lack of certificates is no reason to stop.
    let account = Account::with(&format!("{OWN_KEY}{CERTIFICATES}"));
    account.provider.lists(Reply::Unsigned(500, String::new()));
    let (result, _) = account.answered(&[good(200, &transaction(json!({})))], |gateway| gateway.query(number()));
    assert_eq!(result, Ok(paid()));
}
