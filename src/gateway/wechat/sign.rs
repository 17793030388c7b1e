//! What we sign: requests to WeChat Pay, and the parameters a mini-program pays with.
//!
//! Contract: pure but for the nonces. Rules: <https://pay.weixin.qq.com/doc/v3/merchant/4012365336> (requests) and
//! <https://pay.weixin.qq.com/doc/v3/merchant/4012365341> (parameters).

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::gateway::Checkout;
use crate::hex;

/// The merchant's key, and the names it is known under.
pub(super) struct Signer {
    mch_id: String,
    serial_no: String,
    key: KeyPair,
}

impl Signer {
    /// With a key in PEM, PKCS#8 or PKCS#1, of 2048 bits or more; `None` for anything else.
    pub(super) fn new(mch_id: &str, serial_no: &str, pem: &str) -> Option<Self> {
        let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()? {
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
            _ => return None,
        };
        let key = key.ok().filter(|key| key.public_modulus_len() >= 256)?;
        Some(Self { mch_id: mch_id.to_owned(), serial_no: serial_no.to_owned(), key })
    }

    /// The `Authorization` header of a request.
    pub(super) fn authorization(&self, method: &str, path: &str, timestamp: i64, nonce: &str, body: &[u8]) -> String {
        let signature = self.sign(&request_text(method, path, timestamp, nonce, body));
        let Self { mch_id, serial_no, .. } = self;
        format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"{mch_id}\",nonce_str=\"{nonce}\",signature=\"{signature}\",\
             timestamp=\"{timestamp}\",serial_no=\"{serial_no}\""
        )
    }

    /// The parameters of `wx.requestPayment`.
    pub(super) fn checkout(&self, app_id: &str, prepay_id: &str, timestamp: i64, nonce: String) -> Checkout {
        let package = format!("prepay_id={prepay_id}");
        let pay_sign = self.sign(format!("{app_id}\n{timestamp}\n{nonce}\n{package}\n").as_bytes());
        Checkout::WechatMiniProgram {
            time_stamp: timestamp.to_string(),
            nonce_str: nonce,
            package,
            sign_type: "RSA".to_owned(),
            pay_sign,
        }
    }

    fn sign(&self, text: &[u8]) -> String {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
            .expect("a parsed key signs whatever it is given");
        STANDARD.encode(signature)
    }
}

/// What a request's signature is over: five lines, each ended, the last one empty where there is no body.
fn request_text(method: &str, path: &str, timestamp: i64, nonce: &str, body: &[u8]) -> Vec<u8> {
    [format!("{method}\n{path}\n{timestamp}\n{nonce}\n").as_bytes(), body, b"\n"].concat()
}

/// 32 random letters and digits.
pub(super) fn nonce() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system has randomness");
    hex::encode(&bytes).to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::super::vectors::vectors;
    use super::*;

    fn signer() -> Signer {
        let v = vectors();
        Signer::new(v.text("mch_id"), v.text("serial_no"), v.text("private_key")).expect("a key")
    }

    /// The request that the provider's page on signatures works through; its key is not published.
    #[test]
    fn the_signed_text_is_that_of_the_documentation() {
        let text =
            request_text("GET", "/v3/refund/domestic/refunds/123123123123", 1_554_208_460, "593BEC0C930BF1AF", b"");
        assert_eq!(text, b"GET\n/v3/refund/domestic/refunds/123123123123\n1554208460\n593BEC0C930BF1AF\n\n");
    }

    #[test]
    fn requests_are_signed_as_others_sign_them() {
        let v = vectors();
        for request in v.list("requests") {
            let signed = signer().authorization(
                request.text("method"),
                request.text("path"),
                request.number("timestamp"),
                request.text("nonce"),
                request.text("body").as_bytes(),
            );
            assert_eq!(signed, request.text("authorization"));
        }
    }

    #[test]
    fn both_forms_of_a_key_are_read_and_nothing_else() {
        let v = vectors();
        let pkcs1 = Signer::new("1900000001", "AB", v.text("private_key_pkcs1")).expect("a key");
        assert_eq!(pkcs1.sign(b"text"), signer().sign(b"text"));
        for other in ["", "key", v.text("platform_public_key"), v.text("short_private_key"), v.text("ec_private_key")] {
            assert!(Signer::new("1900000001", "AB", other).is_none(), "{other}");
        }
    }

    #[test]
    fn mini_programs_get_what_others_would_sign_for_them() {
        let v = vectors();
        let given = v.object("checkout");
        let nonce = given.text("nonce").to_owned();
        let checkout = signer().checkout(v.text("app_id"), given.text("prepay_id"), given.number("timestamp"), nonce);
        let expected = Checkout::WechatMiniProgram {
            time_stamp: given.number("timestamp").to_string(),
            nonce_str: given.text("nonce").to_owned(),
            package: format!("prepay_id={}", given.text("prepay_id")),
            sign_type: "RSA".to_owned(),
            pay_sign: given.text("pay_sign").to_owned(),
        };
        assert_eq!(checkout, expected);
    }

    #[test]
    fn nonces_differ_and_need_no_escape() {
        let (one, other) = (nonce(), nonce());
        assert_ne!(one, other);
        assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{one}");
    }
}
