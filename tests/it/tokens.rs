//! Bearer tokens: which are taken, which are not, and what ends those that were.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};

use crate::clients::Answer;
use crate::harness::{PASSWORD, TestApp, noon, words};
use crate::world::digest;

const ORDERS: &str = "/v1/merchants/1/orders";
const ME: &str = "/v1/admin/merchants/1/me";
const SECRET: [u8; 32] = [7; 32];
const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn sign(claims: &Value, algorithm: Algorithm, secret: &[u8]) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name).unwrap();
    claims
}

/// A good token with another head.
fn headed(token: &str, head: &Value) -> String {
    format!("{}{}", URL_SAFE_NO_PAD.encode(head.to_string()), &token[token.find('.').unwrap()..])
}

async fn asked(app: &TestApp, path: &str, token: &str) -> Answer {
    Answer::of(app.request(Method::GET, path).bearer_auth(token)).await
}

#[actix_web::test]
async fn only_our_own_unexpired_tokens_are_taken() {
    let app = TestApp::start();
    let alice = app.customer("alice").await.token;
    let owner = app.staff("owner").await.token;
    let neighbours = [app.customer_of(2, "alice").await.token, app.staff_of(2, "owner").await.token];
    for (path, own, crossed, neighbour) in
        [(ORDERS, &alice, &owner, &neighbours[0]), (ME, &owner, &alice, &neighbours[1])]
    {
        assert_eq!(asked(&app, path, own).await.status, 200);
        let ours = claims(own);
        assert_eq!(asked(&app, path, &sign(&ours, Algorithm::HS256, &SECRET)).await.status, 200, "signed like ours");
        let signature = own.rsplit('.').next().unwrap();
        let unsigned = &own[..own.len() - signature.len()];
        let (one, last) = own.split_at(own.len() - 1);
        // It holds two bits more than the signature has: a lenient decoder takes four characters for the same.
        let other = ALPHABET.chars().nth(ALPHABET.find(last).unwrap() + 1).unwrap();
        for (name, token) in [
            ("another secret", sign(&ours, Algorithm::HS256, &[8; 32])),
            ("no secret", sign(&ours, Algorithm::HS256, &[])),
            ("HS384 with our secret", sign(&ours, Algorithm::HS384, &SECRET)),
            ("HS512 with our secret", sign(&ours, Algorithm::HS512, &SECRET)),
            ("RS256 in the head", headed(own, &json!({ "alg": "RS256", "typ": "JWT" }))),
            ("no algorithm", headed(unsigned, &json!({ "alg": "none", "typ": "JWT" }))),
            ("no algorithm, signed", headed(own, &json!({ "alg": "none", "typ": "JWT" }))),
            ("no algorithm, in capitals", headed(unsigned, &json!({ "alg": "NONE" }))),
            ("no algorithm named", headed(own, &json!({ "typ": "JWT" }))),
            ("a key of its own", headed(own, &json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": "AAAA" } }))),
            ("not signed", unsigned.to_owned()),
            ("two parts", unsigned.trim_end_matches('.').to_owned()),
            ("four parts", format!("{own}.{signature}")),
            ("cut off", one.to_owned()),
            ("another last character", format!("{one}{other}")),
            ("padded", format!("{own}=")),
            ("another audience", crossed.clone()),
            ("no audience", sign(&without(&ours, "aud"), Algorithm::HS256, &SECRET)),
            ("no expiry", sign(&without(&ours, "exp"), Algorithm::HS256, &SECRET)),
            ("no merchant", sign(&without(&ours, "merchant"), Algorithm::HS256, &SECRET)),
            ("not a person", sign(&with(&ours, "sub", json!("alice' OR true --")), Algorithm::HS256, &SECRET)),
            ("not yet", sign(&with(&ours, "nbf", json!(noon().timestamp() + 60)), Algorithm::HS256, &SECRET)),
            ("garbage", "x".into()),
            ("dots", "..".into()),
            ("nothing", String::new()),
        ] {
            assert_eq!(asked(&app, path, &token).await.refusal(), (401, "unauthenticated".into()), "{path}: {name}");
        }
        let over = sign(&with(&ours, "exp", json!(noon().timestamp())), Algorithm::HS256, &SECRET);
        assert_eq!(asked(&app, path, &over).await.refusal(), (401, "token_expired".into()), "{path}");
        assert_eq!(asked(&app, path, neighbour).await.refusal(), (403, "wrong_merchant".into()), "{path}");
    }
    // A member of the staff is good for as long as their account says so, whoever has signed what.
    let stale = with(&claims(&owner), "from", json!(0));
    for claims in [stale, without(&claims(&owner), "from")] {
        let token = sign(&claims, Algorithm::HS256, &SECRET);
        assert_eq!(asked(&app, ME, &token).await.refusal(), (401, "unauthenticated".into()));
    }
}

/// By bytes, since a client would not send most of it.
#[actix_web::test]
async fn a_header_that_is_not_one_bearer_token_is_none() {
    let app = TestApp::start();
    let alice = app.customer("alice").await.token;
    let send = async |headers: Vec<u8>| {
        let address = app.address.trim_start_matches("http://").to_owned();
        let answer = actix_web::rt::task::spawn_blocking(move || {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
            stream.write_all(b"DELETE /v1/merchants/1/cart HTTP/1.1\r\nHost: x\r\nConnection: close\r\n").unwrap();
            // A server that has seen enough hangs up before all of it is sent.
            let _ = stream.write_all(&headers).and_then(|()| stream.write_all(b"\r\n"));
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        });
        answer.await.unwrap()
    };
    for good in ["Authorization: Bearer T\r\n", "authorization: bearer T\r\n", "AUTHORIZATION: BEARER   T  \r\n"] {
        let answer =
            send(good.replace("T\r", &format!("{alice}\r")).replace("T  \r", &format!("{alice}  \r")).into_bytes())
                .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{good}: {answer}");
    }
    let before = digest(&app);
    for bad in [
        "",
        "Authorization:\r\n",
        "Authorization: \r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: T\r\n",
        "Authorization: BearerT\r\n",
        "Authorization: Basic YTpi\r\n",
        "Authorization: Token T\r\n",
        "Authorization: Bearer T T\r\n",
        "Authorization: Bearer T,T\r\n",
        "Authorization: Bearer \"T\"\r\n",
        "Authorization: Bearer T\r\nAuthorization: Bearer T\r\n",
        "Authorization: Bearer T\r\nAuthorization: Basic YTpi\r\n",
        "Authorization: Bearer \u{e9}T\r\n",
        "X-Authorization: Bearer T\r\n",
        "Cookie: token=T\r\n",
    ] {
        let answer =
            send(bad.replace("T\r", &format!("{alice}\r")).replace("T,", &format!("{alice},")).into_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("unauthenticated"), "{bad:?}: {answer}");
    }
    let huge = [b"Authorization: Bearer ".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    let answer = send(huge).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "a megabyte: {answer}");
    for query in ["?token=T", "?access_token=T", "?authorization=Bearer%20T"] {
        let answer = app.get(&format!("{ORDERS}{}", query.replace('T', &alice))).await;
        assert_eq!(answer.refusal(), (401, "unauthenticated".into()), "{query}");
    }
    assert_eq!(digest(&app), before);
    assert_eq!(asked(&app, ORDERS, &alice).await.status, 200, "the server is well");
}

#[actix_web::test]
async fn tokens_end_with_their_time() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let expires: DateTime<Utc> = DateTime::from_timestamp(claims(&alice.token)["exp"].as_i64().unwrap(), 0).unwrap();
    assert_eq!(expires, noon() + TimeDelta::hours(168));
    app.clock.advance(TimeDelta::hours(168) - TimeDelta::seconds(1));
    assert_eq!((alice.get("/orders").await.status.as_u16(), owner.get("/me").await.status.as_u16()), (200, 200));
    app.clock.advance(TimeDelta::seconds(1));
    for answer in [alice.get("/orders").await, owner.get("/me").await] {
        assert_eq!(answer.refusal(), (401, "token_expired".into()));
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
}

/// There is no list of sessions to forget: an account says from when on its tokens are good.
#[actix_web::test]
async fn a_members_tokens_end_with_what_they_were_issued_for() {
    let app = TestApp::start();
    let owner = app.staff("owner").await;
    let id = |login: &str| {
        let sql = format!("SELECT id::text AS value FROM staff WHERE merchant_id = 1 AND login = '{login}'");
        words(&mut app.conn(), &sql).remove(0)
    };
    for (name, change, then) in [
        ("closed", json!({ "is_active": false }), 401),
        ("another password", json!({ "password": "another password" }), 401),
        ("demoted", json!({ "role": "kitchen" }), 403),
        ("renamed", json!({ "name": "Somebody" }), 200),
    ] {
        let (member, path) = (app.staff("manager").await, format!("/staff/{}", id("manager")));
        assert_eq!(member.get("/settings").await.status, 200, "{name}");
        assert_eq!(owner.patch(&path, &change).await.status, 200, "{name}");
        assert_eq!(member.get("/settings").await.status, then, "{name}");
        let back = json!({ "is_active": true, "password": PASSWORD, "role": "manager", "name": "The manager" });
        assert_eq!(owner.patch(&path, &back).await.status, 200);
        assert_eq!(member.get("/settings").await.status, 401, "{name}: what has ended stays so");
    }
    // Their own doing ends all of them but the one it is answered with.
    let (here, there) = (app.staff("cashier").await, app.staff("cashier").await);
    let changed = here.put("/me/password", &json!({ "old": PASSWORD, "new": "another password" })).await.json();
    for token in [&here.token, &there.token] {
        assert_eq!(asked(&app, ME, token).await.refusal(), (401, "unauthenticated".into()));
    }
    assert_eq!(asked(&app, ME, changed["token"].as_str().unwrap()).await.status, 200);
}
