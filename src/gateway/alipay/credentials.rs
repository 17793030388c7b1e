//! A merchant's credentials at Alipay, as the file of credentials has them, and what is made of them: an [`Account`].
//!
//! Contract: everything is checked when it is read, so that nothing turns out to be wrong when a customer wants to pay. Errors name the key
//! and never its value.

use reqwest::Url;
use serde::Deserialize;

use super::cert::{self, Facts};
use super::pem;
use super::sign::{SigningKey, VerifyingKey};
use crate::config::Secret;
use crate::gateway::Opening;

/// A table `[alipay.<merchant id>]`. `config/gateways.example.toml` documents each key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    app_id: String,
    seller_id: String,
    private_key: Secret,
    alipay_public_key: Option<String>,
    app_cert: Option<String>,
    alipay_cert: Option<String>,
    alipay_root_cert: Option<String>,
    #[serde(default = "production")]
    base_url: String,
}

fn production() -> String {
    "https://openapi.alipay.com/gateway.do".to_owned()
}

/// One merchant's account, ready for use.
#[derive(Debug)]
pub(super) struct Account {
    /// The application that calls.
    pub(super) app_id: String,
    /// Who gets the money.
    pub(super) seller_id: String,
    /// Signs requests.
    pub(super) key: SigningKey,
    /// Verifies answers and notices.
    pub(super) alipay_key: VerifyingKey,
    /// The certificates' numbers, in certificate mode.
    pub(super) certificates: Option<CertificateNumbers>,
    /// Where requests go.
    pub(super) base_url: Url,
}

/// What certificate mode adds to requests, and to answers.
#[derive(Debug)]
pub(super) struct CertificateNumbers {
    /// `app_cert_sn`
    pub(super) app: String,
    /// `alipay_root_cert_sn`
    pub(super) root: String,
    /// `alipay_cert_sn`
    pub(super) alipay: String,
}

impl Account {
    /// Reads and checks a merchant's credentials.
    ///
    /// # Errors
    /// One sentence that names the key at fault.
    pub(super) fn read(opening: &Opening<'_>) -> Result<Self, String> {
        let given: Credentials = opening.credentials()?;
        let is_number =
            |text: &str| !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(&given.app_id) {
            return Err("app_id: it is a number, of at most 32 digits".to_owned());
        }
        if !(is_number(&given.seller_id) && given.seller_id.len() == 16 && given.seller_id.starts_with("2088")) {
            return Err("seller_id: it is a number of 16 digits that begins with 2088".to_owned());
        }
        let base_url = Url::parse(&given.base_url).ok().filter(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        let base_url = base_url.ok_or("base_url: it is an address at http:// or https://, without parameters")?;
        let key = read_one(opening, "private_key", given.private_key.expose())?;
        let key = SigningKey::from_der(&key)
            .ok_or("private_key: it is no RSA key of 2048 bits or more, by PKCS#8 or PKCS#1, without a password")?;
        let (alipay_key, certificates) = match given {
            Credentials {
                alipay_public_key: Some(text),
                app_cert: None,
                alipay_cert: None,
                alipay_root_cert: None,
                ..
            } => {
                let der = read_one(opening, "alipay_public_key", &text)?;
                (verifying_key("alipay_public_key", &der, &key)?, None)
            }
            Credentials {
                alipay_public_key: None,
                app_cert: Some(app),
                alipay_cert: Some(alipay),
                alipay_root_cert: Some(root),
                ..
            } => {
                let app = read_certificate(opening, "app_cert", &app)?;
                if !key.is_of(&app.public_key) {
                    return Err("app_cert: it is not the certificate of private_key".to_owned());
                }
                let alipay = read_certificate(opening, "alipay_cert", &alipay)?;
                let root = cert::root_sn(&read_certificates(opening, "alipay_root_cert", &root)?)
                    .ok_or("alipay_root_cert: none of its certificates is signed by RSA")?;
                let alipay_key = verifying_key("alipay_cert", &alipay.public_key, &key)?;
                (alipay_key, Some(CertificateNumbers { app: app.sn, root, alipay: alipay.sn }))
            }
            _ => {
                let sentence = "alipay_public_key: give either this or all of app_cert, alipay_cert and alipay_root_cert, and not both";
                return Err(sentence.to_owned());
            }
        };
        Ok(Self { app_id: given.app_id, seller_id: given.seller_id, key, alipay_key, certificates, base_url })
    }
}

/// What was given under `key`: PEM or bare base64, in the file of credentials or in one of its own.
fn read_all(opening: &Opening<'_>, key: &str, given: &str) -> Result<Vec<Vec<u8>>, String> {
    if let Some(der) = pem::bare(given) {
        return Ok(vec![der]);
    }
    let text = opening.pem(key, given)?;
    pem::blocks(&text).ok_or_else(|| format!("{key}: it is neither PEM nor base64"))
}

fn read_one(opening: &Opening<'_>, key: &str, given: &str) -> Result<Vec<u8>, String> {
    match read_all(opening, key, given)?.as_mut_slice() {
        [der] => Ok(std::mem::take(der)),
        all => Err(format!("{key}: there are {} keys or certificates in it, and not one", all.len())),
    }
}

fn read_certificate(opening: &Opening<'_>, key: &str, given: &str) -> Result<Facts, String> {
    match read_certificates(opening, key, given)?.as_slice() {
        // What follows, if anything, is the chain of those who signed it.
        [facts, ..] => Ok(facts.clone()),
        [] => Err(format!("{key}: there is no certificate in it")),
    }
}

fn read_certificates(opening: &Opening<'_>, key: &str, given: &str) -> Result<Vec<Facts>, String> {
    let all = read_all(opening, key, given)?;
    all.iter().map(|der| cert::read(der).ok_or_else(|| format!("{key}: it is no X.509 certificate"))).collect()
}

/// Alipay's key. That people take their own public key for it is the commonest mistake there is.
fn verifying_key(key: &str, der: &[u8], ours: &SigningKey) -> Result<VerifyingKey, String> {
    if ours.is_of(der) {
        return Err(format!("{key}: it is the application's own key; Alipay's is shown beside it in the console"));
    }
    VerifyingKey::from_der(der).ok_or_else(|| format!("{key}: it is no RSA key of 2048 bits or more"))
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    /// In both modes: what is commented out is as good as what is not.
    #[test]
    fn the_example_is_one_and_keys_are_not_shown() {
        let example = include_str!("../../../config/gateways.example.toml");
        let certificates = example.replace("# app_cert", "app_cert").replace("# alipay_", "alipay_");
        for text in [example.to_owned(), certificates] {
            let tables: Table = text.parse().expect("TOML");
            let credentials: Credentials = tables["alipay"]["1"].clone().try_into().expect("credentials");
            assert_eq!(credentials.base_url, production());
            assert!(!format!("{credentials:?}").contains("app_private_key"));
        }
    }
}
