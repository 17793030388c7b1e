//! What WeChat Pay sends under the merchant's APIv3 key: AES-256-GCM with associated data.
//!
//! Contract: pure. What does not open is an error, and nothing of it is seen.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// Something sealed, as it stands in notices and in the list of certificates.
#[derive(Deserialize)]
pub(super) struct Sealed {
    algorithm: String,
    ciphertext: String,
    nonce: String,
    /// Left out where it is empty.
    associated_data: Option<String>,
}

/// The APIv3 key.
pub(super) struct SealKey(LessSafeKey);

impl SealKey {
    /// Of exactly 32 bytes.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        UnboundKey::new(&AES_256_GCM, key).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    /// What is inside.
    ///
    /// # Errors
    /// Why it does not open, in words.
    pub(super) fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, &'static str> {
        if sealed.algorithm != "AEAD_AES_256_GCM" {
            return Err("it is sealed in a way that is not known");
        }
        let nonce =
            Nonce::try_assume_unique_for_key(sealed.nonce.as_bytes()).map_err(|_| "its nonce is not 12 bytes")?;
        let mut bytes = STANDARD.decode(&sealed.ciphertext).map_err(|_| "its ciphertext is not base64")?;
        let aad = Aad::from(sealed.associated_data.as_deref().unwrap_or_default());
        let opened = self.0.open_in_place(nonce, aad, &mut bytes);
        let length = opened.map_err(|_| "it does not open with api_v3_key")?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::vectors::vectors;
    use super::*;

    fn open(key: &[u8], sealed: &Value) -> Result<Vec<u8>, &'static str> {
        let sealed: Sealed = serde_json::from_value(sealed.clone()).expect("a sealed thing");
        SealKey::new(key).expect("32 bytes").open(&sealed)
    }

    #[test]
    fn what_others_seal_opens_with_the_right_key_only() {
        let v = vectors();
        let key = v.text("api_v3_key").as_bytes();
        for case in v.list("seals") {
            let (sealed, plaintext) = (case.object("sealed").value(), case.text("plaintext"));
            assert_eq!(open(key, sealed), Ok(plaintext.as_bytes().to_vec()));
            assert_eq!(open(&[b'x'; 32], sealed), Err("it does not open with api_v3_key"), "another key");
            let tail = case.object("sealed").text("ciphertext");
            // The tag is the last sixteen bytes.
            let mut cut = STANDARD.decode(tail).expect("base64");
            let last = cut.len() - 1;
            cut[last] ^= 1;
            for (field, value, why) in [
                ("nonce", json!("000000000000"), "it does not open with api_v3_key"),
                ("nonce", json!("00000000000"), "its nonce is not 12 bytes"),
                ("nonce", json!(""), "its nonce is not 12 bytes"),
                ("associated_data", json!("other"), "it does not open with api_v3_key"),
                ("ciphertext", json!(STANDARD.encode(&cut)), "it does not open with api_v3_key"),
                ("ciphertext", json!(STANDARD.encode(&cut[..last])), "it does not open with api_v3_key"),
                ("ciphertext", json!(""), "it does not open with api_v3_key"),
                ("ciphertext", json!("?"), "its ciphertext is not base64"),
                ("algorithm", json!("AEAD_SM4_GCM"), "it is sealed in a way that is not known"),
            ] {
                let mut changed = sealed.clone();
                changed[field] = value;
                assert_eq!(open(key, &changed), Err(why), "{field}: {changed}");
            }
        }
    }

    #[test]
    fn keys_have_32_bytes() {
        for length in [0, 16, 31, 33, 64] {
            assert!(SealKey::new(&vec![b'k'; length]).is_none(), "{length}");
        }
    }
}
