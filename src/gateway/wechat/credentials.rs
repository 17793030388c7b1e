//! `[wechat.<merchant>]` of the file of credentials, checked.
//!
//! Contract: what is returned works as far as that can be told without calling anybody. What does not is one sentence that names the key
//! at fault, and never its value.

use reqwest::Url;
use serde::Deserialize;

use super::keys::Keys;
use super::seal::SealKey;
use super::sign::Signer;
use super::verify::PublicKey;
use crate::config::Secret;
use crate::gateway::Opening;

/// The keys of the table. `config/gateways.example.toml` documents each.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    pub(super) app_id: String,
    pub(super) app_secret: Option<Secret>,
    mch_id: String,
    serial_no: String,
    private_key: Secret,
    api_v3_key: Secret,
    public_key_id: Option<String>,
    public_key: Option<String>,
    #[serde(default)]
    platform_certificates: bool,
    #[serde(default = "base_url")]
    base_url: String,
    backup_url: Option<String>,
    #[serde(default = "login_url")]
    pub(super) login_url: String,
}

fn base_url() -> String {
    "https://api.mch.weixin.qq.com".to_owned()
}

fn login_url() -> String {
    "https://api.weixin.qq.com".to_owned()
}

/// A merchant's account at WeChat Pay.
pub(super) struct Account {
    pub(super) app_id: String,
    pub(super) mch_id: String,
    pub(super) notify_url: String,
    /// The host, and another to try when it is not reached.
    pub(super) hosts: Vec<String>,
    pub(super) signer: Signer,
    pub(super) seal_key: SealKey,
    pub(super) keys: Keys,
}

impl Account {
    /// Reads and checks the credentials.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn read(opening: &Opening<'_>) -> Result<Self, String> {
        let given: Credentials = opening.credentials()?;
        check_app_id(&given.app_id)?;
        let is_number = |text: &str| (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        require(is_number(&given.mch_id), "mch_id is not a merchant's number at WeChat Pay, which is all digits")?;
        let is_hex = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        require(is_hex(&given.serial_no), "serial_no is not a certificate's number, which is all hexadecimal digits")?;
        let pem = opening.pem("private_key", given.private_key.expose())?;
        let signer = Signer::new(&given.mch_id, &given.serial_no, &pem)
            .ok_or("private_key is not an RSA key of at least 2048 bits in PEM (apiclient_key.pem)")?;
        let seal_key = given.api_v3_key.expose().as_bytes();
        let seal_key = SealKey::new(seal_key).ok_or("api_v3_key does not have 32 bytes")?;
        let own = match (&given.public_key_id, &given.public_key) {
            (None, None) => None,
            (Some(id), Some(key)) => {
                require(id.starts_with("PUB_KEY_ID_"), "public_key_id does not begin with PUB_KEY_ID_")?;
                let key = PublicKey::of_pem(&opening.pem("public_key", key)?);
                let key =
                    key.ok_or("public_key is not an RSA public key of at least 2048 bits in PEM (pub_key.pem)")?;
                Some((id.clone(), key))
            }
            (Some(_), None) => return Err("public_key is missing beside public_key_id".to_owned()),
            (None, Some(_)) => return Err("public_key_id is missing beside public_key".to_owned()),
        };
        let has_keys = own.is_some() || given.platform_certificates;
        require(has_keys, "public_key_id and public_key are missing, and platform_certificates is not true")?;
        check_notify_url(&opening.notify_url, &given.base_url)?;
        let hosts = [("base_url", Some(given.base_url)), ("backup_url", given.backup_url)];
        let hosts = hosts.into_iter().filter_map(|(key, url)| url.map(|url| check_host(key, url)));
        Ok(Self {
            hosts: hosts.collect::<Result<_, _>>()?,
            app_id: given.app_id,
            mch_id: given.mch_id,
            notify_url: opening.notify_url.clone(),
            signer,
            seal_key,
            keys: Keys::new(own, given.platform_certificates),
        })
    }
}

fn require(holds: bool, sentence: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(sentence.to_owned()) }
}

/// Whether it can be the id of a mini-program.
pub(super) fn check_app_id(app_id: &str) -> Result<(), String> {
    let is_id =
        app_id.starts_with("wx") && app_id.len() <= 32 && app_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    require(is_id, "app_id is not a mini-program's, which begins with wx")
}

/// The provider's own hosts, as opposed to those that play it.
fn is_real(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.ends_with(".weixin.qq.com"))
}

/// A scheme and a host, and nothing after it: the path is signed. Secrets go to the provider's own hosts by https only.
pub(super) fn check_host(key: &str, url: String) -> Result<String, String> {
    let parsed =
        Url::parse(&url).ok().filter(|parsed| ["https", "http"].contains(&parsed.scheme()) && parsed.has_host());
    let parsed =
        parsed.filter(|parsed| parsed.path() == "/" && parsed.query().is_none() && parsed.fragment().is_none());
    let parsed = parsed.filter(|_| !url.ends_with('/'));
    let parsed = parsed.ok_or_else(|| format!("{key} is not https:// and a host, with nothing after it"))?;
    require(parsed.scheme() == "https" || !is_real(&parsed), &format!("{key} is not https"))?;
    Ok(url)
}

/// What the provider demands of the address it calls back. Whoever plays the provider may be less strict.
fn check_notify_url(notify_url: &str, base_url: &str) -> Result<(), String> {
    let is_strict = Url::parse(base_url).is_ok_and(|url| is_real(&url));
    let url = Url::parse(notify_url).map_err(|_| format!("gateways.public_url makes {notify_url}, which is no URL"))?;
    let is_good =
        url.scheme() == "https" && url.query().is_none() && url.fragment().is_none() && notify_url.len() <= 255;
    let sentence =
        "gateways.public_url must be https, without a query, and at most about 200 bytes long: WeChat Pay calls it";
    require(!is_strict || is_good, sentence)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::super::vectors::vectors;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::domain::MerchantId;
    use crate::domain::order::PayMethod;
    use crate::gateway::Gateways;
    use crate::metrics::Metrics;

    /// Opens the gateways of a file with the good credentials, of which some lines are replaced, as a service at `public_url`.
    fn open(changes: &[(&str, &str)], public_url: &str) -> Result<(), String> {
        let v = vectors();
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("key.pem"), v.text("private_key")).expect("written");
        let quoted = |name: &str| format!("'''{}'''", v.text(name));
        let lines = [
            ("app_id", quoted("app_id")),
            ("mch_id", quoted("mch_id")),
            ("serial_no", quoted("serial_no")),
            ("private_key", "'key.pem'".to_owned()),
            ("api_v3_key", quoted("api_v3_key")),
            ("public_key_id", quoted("public_key_id")),
            ("public_key", quoted("platform_public_key")),
        ];
        let mut table = String::from("[wechat.1]\n");
        let others = lines.into_iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let changed = changes.iter().map(|(name, value)| (*name, (*value).to_owned()));
        for (name, value) in others.chain(changed).filter(|(_, value)| !value.is_empty()) {
            table += &format!("{name} = {value}\n");
        }
        let file = dir.path().join("gateways.toml");
        fs::write(&file, table).expect("written");
        let variable = ("ROWLOCK_GATEWAYS_FILE".to_owned(), file.to_str().expect("UTF-8").to_owned());
        let config = Config::from_parts("", [variable]).expect("a configuration").gateways;
        let gateways =
            Gateways::open(&config, public_url.to_owned(), &[7; 32], Clock::default(), Arc::new(Metrics::default()));
        let gateways = gateways.map_err(|error| error.replace(&format!("{}: wechat.1: ", file.display()), ""))?;
        assert!(gateways.get(MerchantId(1), PayMethod::Wechat).is_some());
        assert!(gateways.get(MerchantId(2), PayMethod::Wechat).is_none());
        Ok(())
    }

    #[test]
    fn good_credentials_open() {
        let v = vectors();
        let url = "https://shop.example";
        let inline = format!("'''{}'''", v.text("private_key_pkcs1"));
        for changes in [
            vec![],
            vec![("private_key", inline.as_str())],
            vec![("public_key_id", ""), ("public_key", ""), ("platform_certificates", "true")],
            vec![("platform_certificates", "true")],
            vec![("app_secret", "'secret'"), ("backup_url", "'https://api2.mch.weixin.qq.com'")],
        ] {
            assert_eq!(open(&changes, url), Ok(()), "{changes:?}");
        }
        assert_eq!(open(&[("base_url", "'http://127.0.0.1:9'")], "http://127.0.0.1:8080"), Ok(()));
    }

    #[test]
    fn a_fault_is_one_sentence_that_names_its_key() {
        let v = vectors();
        let (short, ec) =
            (format!("'''{}'''", v.text("short_private_key")), format!("'''{}'''", v.text("ec_private_key")));
        let key = "private_key is not an RSA key of at least 2048 bits in PEM (apiclient_key.pem)";
        let public = "public_key is not an RSA public key of at least 2048 bits in PEM (pub_key.pem)";
        let host = "base_url is not https:// and a host, with nothing after it";
        for (name, value, sentence) in [
            ("app_id", "", "missing field `app_id`"),
            ("app_id", "'mini'", "app_id is not a mini-program's, which begins with wx"),
            ("mch_id", "'19x'", "mch_id is not a merchant's number at WeChat Pay, which is all digits"),
            ("serial_no", "'a-b'", "serial_no is not a certificate's number, which is all hexadecimal digits"),
            ("private_key", "'-----BEGIN nothing'", key),
            ("private_key", &short, key),
            ("private_key", &ec, key),
            ("api_v3_key", "'short'", "api_v3_key does not have 32 bytes"),
            ("api_v3_key", "'0123456789abcdefghijklmnopqrstuvw'", "api_v3_key does not have 32 bytes"),
            ("public_key", "'-----BEGIN nothing'", public),
            ("public_key", "", "public_key is missing beside public_key_id"),
            ("public_key_id", "", "public_key_id is missing beside public_key"),
            ("public_key_id", "'5157F0'", "public_key_id does not begin with PUB_KEY_ID_"),
            ("base_url", "'https://api.mch.weixin.qq.com/'", host),
            ("base_url", "'https://api.mch.weixin.qq.com/v3'", host),
            ("base_url", "'ftp://api.mch.weixin.qq.com'", host),
            ("base_url", "'api.mch.weixin.qq.com'", host),
            ("base_url", "'http://api.mch.weixin.qq.com'", "base_url is not https"),
            ("backup_url", "'http://api2.mch.weixin.qq.com'", "backup_url is not https"),
        ] {
            assert_eq!(open(&[(name, value)], "https://shop.example"), Err(sentence.to_owned()), "{name}: {value}");
        }
        let neither = open(&[("public_key_id", ""), ("public_key", "")], "https://shop.example");
        let sentence = "public_key_id and public_key are missing, and platform_certificates is not true";
        assert_eq!(neither, Err(sentence.to_owned()));
        let error = open(&[("private_key", "'nowhere.pem'")], "https://shop.example").expect_err("no file");
        assert!(error.starts_with("private_key: cannot read "), "{error}");
        let bare = format!("'{}'", "MIIEvQIBADAN/BgkqhkiG9w0BAQEFAASC".repeat(20));
        let sentence = "private_key: it is neither the name of a file nor PEM, which begins with -----BEGIN";
        assert_eq!(open(&[("private_key", &bare)], "https://shop.example"), Err(sentence.to_owned()));
        let error = open(&[("colour", "'red'")], "https://shop.example").expect_err("unknown");
        assert!(error.starts_with("colour: unknown field"), "{error}");
    }

    #[test]
    fn the_provider_calls_https_without_a_query() {
        let long = format!("https://{}.example", "a".repeat(250));
        for url in ["http://shop.example", "https://shop.example?a=b", &long] {
            let error = open(&[], url).expect_err(url);
            assert!(error.starts_with("gateways.public_url must be https"), "{error}");
        }
    }
}
