//! Whether WeChat Pay has sent something: the signature over the bytes as they came, and the time it was made.
//!
//! Contract: pure. Nothing of a message may be believed, an error code no more than anything else, before [`Signed::check`] has passed.
//! Rules: <https://pay.weixin.qq.com/docs/merchant/development/interface-rules/signature-verification.html>.

use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use webpki::EndEntityCert;

/// How far a message's time may be from ours, in seconds, either way.
const WINDOW_SECONDS: u64 = 300;

/// The provider sends false signatures on purpose, to see whether they are refused.
pub(super) const PROBE: &str = "its signature is one of the provider's probes";

/// A key of the provider's.
pub(super) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// Of a public key in PEM; `None` if it is none of RSA with 2048 bits or more.
    pub(super) fn of_pem(pem: &str) -> Option<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
        Self::of_der(&der)
    }

    /// Of a certificate in PEM.
    pub(super) fn of_certificate(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem).ok()?;
        Self::of_der(&EndEntityCert::try_from(&der).ok()?.subject_public_key_info())
    }

    fn of_der(der: &[u8]) -> Option<Self> {
        // Refuses a key that is too short, which the other would notice only when it is to verify something.
        PublicEncryptingKey::from_der(der).ok()?;
        ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).ok().map(Self)
    }
}

/// What the headers of a message say of its signature, made within the last five minutes.
pub(super) struct Signed<'a> {
    timestamp: &'a str,
    nonce: &'a str,
    signature: Vec<u8>,
    /// Which key it was made with.
    pub(super) serial: &'a str,
}

impl<'a> Signed<'a> {
    /// Reads the headers, which are asked for by their lower-case names.
    ///
    /// # Errors
    /// Why they are no good, in words.
    pub(super) fn read(header: impl Fn(&str) -> Option<&'a str>, now: DateTime<Utc>) -> Result<Self, &'static str> {
        let find = |name: &str| header(name).filter(|value| !value.is_empty());
        let timestamp = find("wechatpay-timestamp").ok_or("it has no timestamp")?;
        let nonce = find("wechatpay-nonce").ok_or("it has no nonce")?;
        let signature = find("wechatpay-signature").ok_or("it has no signature")?;
        let serial = find("wechatpay-serial").ok_or("it does not say whose key it was signed with")?;
        if find("wechatpay-signature-type").is_some_and(|kind| kind != "WECHATPAY2-SHA256-RSA2048") {
            return Err("it is signed in a way that is not known");
        }
        if !is_near(timestamp, now) {
            return Err("its time is more than five minutes from ours");
        }
        if signature.starts_with("WECHATPAY/SIGNTEST/") {
            return Err(PROBE);
        }
        let signature = STANDARD.decode(signature).map_err(|_| "its signature is not base64")?;
        Ok(Self { timestamp, nonce, signature, serial })
    }

    /// Whether the body was signed with the key.
    ///
    /// # Errors
    /// When it was not, in words.
    pub(super) fn check(&self, key: &PublicKey, body: &[u8]) -> Result<(), &'static str> {
        let text = [self.timestamp.as_bytes(), b"\n", self.nonce.as_bytes(), b"\n", body, b"\n"].concat();
        key.0.verify_sig(&text, &self.signature).map_err(|_| "its signature is false")
    }
}

/// Whether a timestamp, in seconds since 1970, is within the window. Digits only: what Rust's own parser takes beyond them is refused.
fn is_near(timestamp: &str, now: DateTime<Utc>) -> bool {
    let seconds = Some(timestamp).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds: Option<i64> = seconds.and_then(|text| text.parse().ok());
    seconds.is_some_and(|seconds| seconds.abs_diff(now.timestamp()) <= WINDOW_SECONDS)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::vectors::{Vectors, vectors};
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    /// Reads and checks a message of the vectors, with some of its headers replaced.
    fn check(
        message: Vectors<'_>,
        changes: &[(&str, &str)],
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), &'static str> {
        let v = vectors();
        let key = PublicKey::of_pem(v.text("platform_public_key")).expect("a key");
        let header = |name: &str| {
            let change = changes.iter().find(|(changed, _)| *changed == name);
            change.map(|(_, value)| *value).or_else(|| message.header(name))
        };
        Signed::read(header, now)?.check(&key, body)
    }

    #[test]
    fn what_others_sign_is_good_and_a_changed_byte_is_not() {
        let v = vectors();
        let messages = v.list("responses");
        assert_eq!(messages.len(), 2, "one with a body, and a 204 without");
        for message in messages {
            let (body, now) = (message.text("body").as_bytes(), at(message.number("timestamp")));
            assert_eq!(check(message, &[], body, now), Ok(()));
            for position in 0..body.len() {
                let mut changed = body.to_vec();
                changed[position] ^= 1;
                assert_eq!(check(message, &[], &changed, now), Err("its signature is false"), "{position}");
            }
            assert!(check(message, &[], &[body, b" "].concat(), now).is_err());
            assert!(check(message, &[("wechatpay-nonce", "other")], body, now).is_err());
        }
    }

    #[test]
    fn headers_must_be_there_and_make_sense() {
        let v = vectors();
        let message = v.list("responses")[0];
        let (body, now) = (message.text("body").as_bytes(), at(message.number("timestamp")));
        let other = v.list("responses")[1].header("wechatpay-signature").expect("a signature");
        for (name, value, why) in [
            ("wechatpay-timestamp", "", "it has no timestamp"),
            ("wechatpay-nonce", "", "it has no nonce"),
            ("wechatpay-signature", "", "it has no signature"),
            ("wechatpay-serial", "", "it does not say whose key it was signed with"),
            ("wechatpay-signature", "?", "its signature is not base64"),
            ("wechatpay-signature", "AAAA", "its signature is false"),
            ("wechatpay-signature", other, "its signature is false"),
            ("wechatpay-signature", "WECHATPAY/SIGNTEST/AAAA", PROBE),
            ("wechatpay-signature-type", "WECHATPAY2-SM2-WITH-SM3", "it is signed in a way that is not known"),
        ] {
            assert_eq!(check(message, &[(name, value)], body, now), Err(why), "{name}: {value}");
        }
        let named = [("wechatpay-signature-type", "WECHATPAY2-SHA256-RSA2048")];
        assert_eq!(check(message, &named, body, now), Ok(()));
    }

    #[test]
    fn five_minutes_either_way_and_no_second_more() {
        let v = vectors();
        let message = v.list("responses")[0];
        let (body, signed_at) = (message.text("body").as_bytes(), at(message.number("timestamp")));
        for (seconds, is_good) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
            let result = check(message, &[], body, signed_at + TimeDelta::seconds(seconds));
            assert_eq!(result.is_ok(), is_good, "{seconds}: {result:?}");
        }
    }

    #[test]
    fn strange_timestamps_are_refused() {
        let now = at(1_000);
        assert!(is_near("1000", now) && is_near("01000", now));
        for strange in [
            "",
            "-1000",
            "+1000",
            " 1000",
            "1000 ",
            "1e3",
            "1000.0",
            "0x3e8",
            "１０００",
            "9223372036854775807",
            "9223372036854775808",
            &"9".repeat(99),
        ] {
            assert!(!is_near(strange, now), "{strange:?}");
        }
        // What others might wrap around.
        assert!(!is_near("9223372036854775807", at(-1_000)));
    }

    #[test]
    fn keys_come_in_pem_and_in_certificates() {
        let v = vectors();
        assert!(PublicKey::of_certificate(v.text("platform_certificate").as_bytes()).is_some());
        for other in ["", "key", v.text("private_key"), v.text("platform_certificate"), v.text("short_public_key")] {
            assert!(PublicKey::of_pem(other).is_none(), "{other}");
        }
        assert!(PublicKey::of_certificate(v.text("platform_public_key").as_bytes()).is_none());
    }
}
