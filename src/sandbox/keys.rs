//! The provider's signatures, and those of its merchants.
//!
//! Contract: the texts that are signed are described in `gateway::sandbox`. That module is written independently of this one, as a
//! merchant's would be, so that their talking to each other shows that both agree.

use aws_lc_rs::hkdf;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::domain::MerchantId;

pub(super) const MERCHANT: &str = "sandbox-merchant";
pub(super) const TIMESTAMP: &str = "sandbox-timestamp";
pub(super) const NONCE: &str = "sandbox-nonce";
pub(super) const SIGNATURE: &str = "sandbox-signature";

/// All keys, made of the service's secret.
pub(super) struct Keys {
    root: hkdf::Prk,
    own: Ed25519KeyPair,
    /// Of somebody who would like to be the provider.
    strangers: Ed25519KeyPair,
}

impl Keys {
    /// # Errors
    /// In words, when the library makes none.
    pub(super) fn new(secret: &[u8]) -> Result<Self, String> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"rowlock sandbox").extract(secret);
        let made = |whose: &str| key_pair(&root, whose).ok_or_else(|| "cannot make the sandbox's keys".to_owned());
        Ok(Self { own: made("provider")?, strangers: made("stranger")?, root })
    }

    /// The provider's signature.
    pub(super) fn sign(&self, parts: &[&[u8]]) -> String {
        STANDARD.encode(self.own.sign(&lines(parts)))
    }

    /// A signature that looks like the provider's and is not.
    pub(super) fn forge(&self, parts: &[&[u8]]) -> String {
        STANDARD.encode(self.strangers.sign(&lines(parts)))
    }

    /// Whether a merchant has signed that.
    pub(super) fn is_of(&self, merchant: MerchantId, signature: &str, parts: &[&[u8]]) -> bool {
        let Some(pair) = key_pair(&self.root, &format!("merchant {merchant}")) else { return false };
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        UnparsedPublicKey::new(&ED25519, pair.public_key()).verify(&lines(parts), &signature).is_ok()
    }
}

fn key_pair(root: &hkdf::Prk, whose: &str) -> Option<Ed25519KeyPair> {
    let mut seed = [0; 32];
    root.expand(&[whose.as_bytes()], hkdf::HKDF_SHA256).and_then(|key| key.fill(&mut seed)).ok()?;
    Ed25519KeyPair::from_seed_unchecked(&seed).ok()
}

fn lines(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [*part, b"\n"]).flatten().copied().collect()
}
