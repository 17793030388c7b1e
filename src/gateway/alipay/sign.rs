//! What Alipay signs and has signed, as text, and the signatures: RSA2, that is RSA PKCS#1 v1.5 with SHA-256, in base64.
//!
//! Contract: pure. Nothing here knows what a field means; keys are never shown.
//! <https://opendocs.alipay.com/common/02kf5q> (requests), <https://opendocs.alipay.com/common/02mse7> (answers and notices)

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, PublicEncryptingKey, PublicKey};
use aws_lc_rs::signature::{KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The text over which parameters are signed: by name, as `name=value` joined by `&`, not encoded. Which ones those are is the caller's
/// matter: never `sign`; of a request none that is empty, but `sign_type`, which does not count in notices.
///
/// Bytes, because a notice's charset may be any.
pub(super) fn canonical<N: AsRef<[u8]>, V: AsRef<[u8]>>(parameters: &[(N, V)]) -> Vec<u8> {
    let mut sorted: Vec<(&[u8], &[u8])> =
        parameters.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    sorted.sort_unstable();
    let pairs: Vec<Vec<u8>> = sorted.into_iter().map(|(name, value)| [name, b"=", value].concat()).collect();
    pairs.join(&b'&')
}

/// Our own key, which signs requests.
pub(super) struct SigningKey(RsaKeyPair);

impl SigningKey {
    /// Of PKCS#8 or PKCS#1, in DER; none for what is no RSA key of at least 2048 bits.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let key = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)).ok()?;
        (key.public_modulus_len() >= 256).then_some(Self(key))
    }

    /// The signature over a text.
    pub(super) fn sign(&self, text: &[u8]) -> String {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
            .expect("a key that was checked when it was read signs any text, into as many bytes as its modulus has");
        STANDARD.encode(signature)
    }

    /// Whether a public key, as PKCS#1 or X.509 write it, is this one's: the former is the end of the latter.
    pub(super) fn is_of(&self, public_der: &[u8]) -> bool {
        public_der.ends_with(self.0.public_key().as_ref())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(hidden)")
    }
}

/// Alipay's key, which verifies what it says.
#[derive(Debug)]
pub(super) struct VerifyingKey(ParsedPublicKey);

impl VerifyingKey {
    /// Of PKCS#1 or X.509 (SubjectPublicKeyInfo), in DER; none for what is no RSA key of at least 2048 bits.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        // The size of a key that verifies is checked only when it verifies something, which would be late; that of one that encrypts, when
        // it is read.
        let x509: PublicKeyX509Der<'_> = PublicKey::from_der(der).ok()?.as_der().ok()?;
        PublicEncryptingKey::from_der(x509.as_ref()).ok()?;
        ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).ok().map(Self)
    }

    /// Whether a signature, in base64, is this key's over a text.
    pub(super) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        STANDARD.decode(signature).is_ok_and(|signature| self.0.verify_sig(text, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{Vectors, der};
    use super::*;

    #[test]
    fn requests_are_signed_as_another_implementation_does() {
        let vectors = Vectors::read();
        for key in [&vectors.app.pkcs8, &vectors.app.pkcs1] {
            let key = SigningKey::from_der(&der(key)).expect("a key");
            for request in &vectors.requests {
                let parameters: Vec<(&String, &String)> = request.parameters.iter().collect();
                assert_eq!(String::from_utf8_lossy(&canonical(&parameters)), request.canonical);
                assert_eq!(key.sign(request.canonical.as_bytes()), request.sign);
            }
        }
    }

    #[test]
    fn a_signature_is_one_keys_over_one_text() {
        let vectors = Vectors::read();
        let request = &vectors.requests[0];
        let [ours, theirs] =
            [&vectors.app.public, &vectors.alipay.public].map(|key| VerifyingKey::from_der(&der(key)).expect("a key"));
        let verifies = |key: &VerifyingKey, text: &str, sign: &str| key.verifies(text.as_bytes(), sign.as_bytes());
        assert!(verifies(&ours, &request.canonical, &request.sign));
        assert!(!verifies(&theirs, &request.canonical, &request.sign));
        assert!(!verifies(&ours, &format!("{} ", request.canonical), &request.sign));
        for bad in ["", "=", "?", &request.sign[4..], &request.sign.replace('A', "B"), &format!("{}\n", request.sign)] {
            assert!(!verifies(&ours, &request.canonical, bad), "{bad}");
        }
    }

    #[test]
    fn weak_and_foreign_keys_are_refused() {
        let vectors = Vectors::read();
        assert!(SigningKey::from_der(&der(&vectors.weak.pkcs8)).is_none());
        assert!(VerifyingKey::from_der(&der(&vectors.weak.public)).is_none());
        assert!(SigningKey::from_der(&der(&vectors.app.public)).is_none());
        assert!(VerifyingKey::from_der(&der(&vectors.app.pkcs8)).is_none());
        for bytes in [b"".as_slice(), b"0", &[0x30; 400]] {
            assert!(SigningKey::from_der(bytes).is_none() && VerifyingKey::from_der(bytes).is_none());
        }
    }

    #[test]
    fn one_knows_ones_own_public_key() {
        let vectors = Vectors::read();
        let key = SigningKey::from_der(&der(&vectors.app.pkcs8)).expect("a key");
        assert!(key.is_of(&der(&vectors.app.public)));
        assert!(!key.is_of(&der(&vectors.alipay.public)));
        assert_eq!(format!("{key:?}"), "SigningKey(hidden)");
    }
}
