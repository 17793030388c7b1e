//! How customers and staff talk to the service: to whichever instance answers, again when they are not answered.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::history::History;
use crate::model::{Kind, Model};
use crate::plan::Progress;
use crate::stage::{Person, Stage};

/// How long somebody waits for an answer before they give up, and how long they go on trying.
const PATIENCE: Duration = Duration::from_secs(8);
const OBSTINACY: Duration = Duration::from_secs(120);

/// What everybody can see: the orders that were placed, and the model.
pub(crate) struct World<'a> {
    pub(crate) stage: &'a Stage<'a>,
    pub(crate) history: &'a History,
    pub(crate) model: RefCell<Model>,
    /// Id, customer, total in fen.
    pub(crate) orders: RefCell<Vec<(Uuid, usize, i64)>>,
    /// Customers and keys that were refused while an earlier request of the same key may have been on its way, with what was sent.
    pub(crate) doubtful: RefCell<Vec<(usize, String, Value)>>,
    /// The numbers under which customers may pay.
    pub(crate) numbers: RefCell<Vec<String>>,
    pub(crate) progress: &'a Progress,
    /// Requests that nobody knows the outcome of.
    pub(crate) unknown: Cell<usize>,
    pub(crate) http: reqwest::Client,
}

/// An answer that came whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The same was asked before, and nobody knows what came of it: that may still be on its way.
    pub(crate) is_doubtful: bool,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// What became of a request that is not to be repeated.
pub(crate) enum Outcome {
    Done(Value),
    /// It was refused, or could not be done: nothing has changed.
    Refused(u16),
    /// Nobody knows.
    Unknown,
}

/// Somebody at work.
#[derive(Clone)]
pub(crate) struct Client<'a> {
    pub(crate) world: &'a World<'a>,
    person: Person,
    prefix: &'static str,
    /// The instance they turn to first.
    at: usize,
}

impl<'a> Client<'a> {
    pub(crate) fn customer(world: &'a World<'a>, index: usize) -> Self {
        Self { world, person: world.stage.customers[index].clone(), prefix: "/v1/merchants/1", at: index % 2 }
    }

    /// A member of the staff: 0 is the owner, then manager, cashier, cook.
    pub(crate) fn staff(world: &'a World<'a>, index: usize, at: usize) -> Self {
        Self { world, person: world.stage.staff[index].clone(), prefix: "/v1/admin/merchants/1", at }
    }

    /// Sends it once. None: no answer came, or not all of it.
    async fn send(
        &self,
        at: usize,
        method: &Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let url = format!("{}{}{path}", self.world.stage.urls[at % 2], self.prefix);
        let mut request =
            self.world.http.request(method.clone(), url).bearer_auth(&self.person.token).timeout(PATIENCE);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let begun = self.world.history.now();
        let answer = async {
            let response = request.send().await.ok()?;
            let status = response.status().as_u16();
            let bytes = response.bytes().await.ok()?;
            let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).ok()? };
            Some(Answer { status, body, is_doubtful: false })
        }
        .await;
        let said = || match &answer {
            None => "no answer".to_owned(),
            Some(answer) if answer.is_success() => {
                let (id, state) = (&answer.body["id"], &answer.body["state"]);
                format!("{} {} {}", answer.status, id.as_str().unwrap_or(""), state.as_str().unwrap_or(""))
            }
            Some(answer) => format!("{} {}", answer.status, answer.code()),
        };
        if *method != Method::GET {
            let sent = body.map(ToString::to_string).unwrap_or_default();
            let (key, who) = (key.unwrap_or_default(), self.person.id);
            self.world
                .history
                .note(begun, || format!("{who} at {}: {method} {path} {key} {sent} -> {}", at % 2, said()));
        }
        if let Some(answer) = &answer {
            let is_bad = answer.status >= 500 && answer.status != 503;
            self.world.model.borrow_mut().expect(!is_bad, Kind::Other, &[&key.unwrap_or(path)], || {
                format!("{method} {path}: {} {}", answer.status, answer.body)
            });
        }
        answer
    }

    fn did(&self) {
        self.world.model.borrow_mut().operations += 1;
        self.world.progress.did();
    }

    /// Sends what may be sent again until it is answered with more than "try again".
    pub(crate) async fn settle(&self, method: Method, path: &str, key: Option<&str>, body: Option<&Value>) -> Answer {
        let (begun, mut is_doubtful) = (Instant::now(), false);
        for attempt in 0.. {
            match self.send(self.at + attempt, &method, path, key, body).await {
                Some(answer) if answer.status != 503 => {
                    self.did();
                    return Answer { is_doubtful, ..answer };
                }
                Some(answer) if answer.code() != "outcome_unknown" => {}
                _ => {
                    is_doubtful = true;
                    self.world.unknown.set(self.world.unknown.get() + 1);
                }
            }
            if begun.elapsed() > OBSTINACY {
                break;
            }
            tokio::time::sleep(Duration::from_millis(40 + 40 * attempt.min(8) as u64)).await;
        }
        let what = format!("{method} {path} {key:?} is never answered");
        self.world.model.borrow_mut().wrong(Kind::Other, what, vec![path.to_owned()]);
        Answer { status: 503, body: Value::Null, is_doubtful }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.settle(Method::GET, path, None, None).await
    }

    /// Sends what must not be sent again: once.
    pub(crate) async fn once(&self, method: Method, path: &str, body: &Value) -> Outcome {
        match self.send(self.at, &method, path, None, Some(body)).await {
            Some(answer) if answer.is_success() => {
                self.did();
                Outcome::Done(answer.body)
            }
            Some(answer) if answer.code() != "outcome_unknown" => {
                if answer.status == 503 {
                    // Whoever is told to wait does.
                    tokio::time::sleep(Duration::from_millis(60)).await;
                } else {
                    self.did();
                }
                Outcome::Refused(answer.status)
            }
            _ => {
                self.world.unknown.set(self.world.unknown.get() + 1);
                tokio::time::sleep(Duration::from_millis(60)).await;
                Outcome::Unknown
            }
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Outcome {
        self.once(Method::POST, path, body).await
    }

    /// Sends an order and hangs up before the answer.
    pub(crate) async fn hang_up(&self, key: &str, body: &Value, after: Duration) {
        let send = self.send(self.at, &Method::POST, "/orders", Some(key), Some(body));
        let _ = tokio::time::timeout(after, send).await;
    }
}
