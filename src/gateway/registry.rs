//! Which merchant has which gateways: cash everywhere, the sandbox where it is switched on, and those there are credentials for.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::client::{Client, Line};
use super::{Gateway, opener};
use crate::clock::Clock;
use crate::config;
use crate::domain::MerchantId;
use crate::domain::order::PayMethod;
use crate::metrics::Metrics;

/// Gateways that are kept open; those beyond are opened for each call.
const OPENED_MAX: usize = 10_000;

/// Makes a merchant's gateway of their credentials, without calling anybody. The error is one sentence that names the key at fault.
pub type Opener = fn(Opening<'_>) -> Result<Box<dyn Gateway>, String>;

/// What a gateway is opened with.
pub struct Opening<'a> {
    /// Whose account it is.
    pub merchant: MerchantId,
    /// Where the provider is to call back, for payments and refunds alike.
    pub notify_url: String,
    /// Where customers and providers reach this service.
    pub public_url: &'a str,
    /// Signs what the service says to itself.
    pub secret: &'a [u8],
    /// Calls the provider.
    pub client: Client,
    /// What time it is.
    pub clock: Clock,
    credentials: Table,
    dir: &'a Path,
}

/// Text that is longer is no file's name but a key: one of 1024 bits, in its shortest form, has more than 600 characters of base64.
const FILE_NAME_MAX: usize = 500;

impl Opening<'_> {
    /// The credentials, as the gateway knows them.
    ///
    /// # Errors
    /// A sentence that names the key at fault, and never its value.
    pub fn credentials<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_path_to_error::deserialize(Value::Table(self.credentials.clone())).map_err(|error| {
            let path = error.path().to_string();
            let message = error.into_inner().message().to_owned();
            if path == "." { message } else { format!("{path}: {message}") }
        })
    }

    /// A PEM text: what is given, or the file that it names, seen from the folder of the credentials.
    ///
    /// # Errors
    /// A sentence that names the key, and never what may be its value.
    pub fn pem(&self, key: &str, text_or_file: &str) -> Result<String, String> {
        if text_or_file.contains("-----BEGIN") {
            return Ok(text_or_file.to_owned());
        }
        // Providers hand out keys as bare base64, which is no name of a file, and must not be told in a complaint that there is none.
        if text_or_file.len() > FILE_NAME_MAX {
            return Err(format!("{key}: it is neither the name of a file nor PEM, which begins with -----BEGIN"));
        }
        let path = self.dir.join(text_or_file);
        fs::read_to_string(&path).map_err(|error| format!("{key}: cannot read {}: {error}", path.display()))
    }
}

/// Every merchant's gateways.
pub struct Gateways {
    line: Line,
    public_url: String,
    secret: Vec<u8>,
    clock: Clock,
    has_sandbox: bool,
    opened: RwLock<HashMap<(MerchantId, PayMethod), Arc<dyn Gateway>>>,
}

impl Gateways {
    /// Reads the credentials, and opens every gateway there are any for. Nobody is called yet.
    ///
    /// # Errors
    /// One sentence that names the file, the merchant and the key at fault.
    pub fn open(
        config: &config::Gateways,
        public_url: String,
        secret: &[u8],
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let gateways = Self {
            line: Line::new(config, metrics),
            public_url,
            secret: secret.to_vec(),
            clock,
            has_sandbox: config.sandbox,
            opened: RwLock::default(),
        };
        for (method, merchant, credentials) in read(&config.file)? {
            let dir = config.file.parent().unwrap_or(Path::new(""));
            gateways
                .open_one(merchant, method, credentials, dir)
                .map_err(|error| format!("{}: {method}.{merchant}: {error}", config.file.display()))?;
        }
        Ok(gateways)
    }

    /// The logins of the merchants that have credentials for `method`.
    ///
    /// # Errors
    /// One sentence that names the key at fault.
    pub(super) fn login<L>(
        &self,
        config: &config::Gateways,
        method: PayMethod,
        open: fn(&[Opening<'_>]) -> Result<L, String>,
    ) -> Result<L, String> {
        let dir = config.file.parent().unwrap_or(Path::new(""));
        let credentials = read(&config.file)?.into_iter().filter(|(of, _, _)| *of == method);
        let openings = credentials.map(|(_, merchant, table)| self.opening(merchant, method, table, dir));
        open(&openings.collect::<Vec<_>>())
    }

    fn opening<'a>(
        &'a self,
        merchant: MerchantId,
        method: PayMethod,
        credentials: Table,
        dir: &'a Path,
    ) -> Opening<'a> {
        Opening {
            merchant,
            notify_url: format!("{}/v1/callbacks/{merchant}/{method}", self.public_url),
            public_url: &self.public_url,
            secret: &self.secret,
            client: self.line.client(method.name()),
            clock: self.clock.clone(),
            credentials,
            dir,
        }
    }

    fn open_one(
        &self,
        merchant: MerchantId,
        method: PayMethod,
        credentials: Table,
        dir: &Path,
    ) -> Result<Arc<dyn Gateway>, String> {
        let gateway: Arc<dyn Gateway> = Arc::from(opener(method)(self.opening(merchant, method, credentials, dir))?);
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        // Strangers may name merchants that do not exist.
        if opened.len() < OPENED_MAX {
            return Ok(Arc::clone(opened.entry((merchant, method)).or_insert(gateway)));
        }
        Ok(gateway)
    }

    /// A merchant's gateway for a pay method, if they have it.
    pub fn get(&self, merchant: MerchantId, method: PayMethod) -> Option<Arc<dyn Gateway>> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(gateway) = opened.get(&(merchant, method)) {
            return Some(Arc::clone(gateway));
        }
        drop(opened);
        let is_everybodys = method == PayMethod::Cash || method == PayMethod::Sandbox && self.has_sandbox;
        is_everybodys.then(|| self.open_one(merchant, method, Table::new(), Path::new("")).ok()).flatten()
    }

    /// How a merchant's orders can be paid, as far as gateways go: whether they may be is for its settings to say, too.
    pub fn methods(&self, merchant: MerchantId) -> impl Iterator<Item = PayMethod> {
        PayMethod::ALL.iter().copied().filter(move |method| self.get(merchant, *method).is_some())
    }
}

/// The file of credentials: a table a gateway, in it a table a merchant. No file, no credentials.
fn read(file: &PathBuf) -> Result<Vec<(PayMethod, MerchantId, Table)>, String> {
    if file.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    // A parser's message shows the line it stumbles over, which may hold a key.
    let tables: Table = text
        .parse()
        .map_err(|error: toml::de::Error| format!("{} is not TOML: {}", file.display(), error.message()))?;
    let mut found = Vec::new();
    for (name, merchants) in tables {
        let method =
            name.parse::<PayMethod>().ok().filter(|method| ![PayMethod::Cash, PayMethod::Sandbox].contains(method));
        let (Some(method), Value::Table(merchants)) = (method, merchants) else {
            return Err(format!("{}: there is no gateway {name} that takes credentials", file.display()));
        };
        for (merchant, credentials) in merchants {
            let id: Option<i64> = merchant.parse().ok().filter(|id| *id > 0);
            let (Some(id), Value::Table(credentials)) = (id, credentials) else {
                return Err(format!("{}: {name}.{merchant} is not a table of a merchant's number", file.display()));
            };
            found.push((method, MerchantId(id), credentials));
        }
    }
    Ok(found)
}
