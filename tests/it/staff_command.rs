//! `rowlock merchant` and `rowlock staff`, and whom the demo restaurant has to log in.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use reqwest::Client;
use serde_json::json;

use crate::clients::Answer;
use crate::command::{Folder, SECRET, Service, run};
use crate::harness::{PASSWORD, Setup, TestApp, TestDatabase, words};

async fn log_in(merchant_url: &str, login: &str, password: &str) -> Answer {
    let body = json!({ "login": login, "password": password });
    Answer::of(Client::new().post(format!("{merchant_url}/sessions")).json(&body)).await
}

fn with_input(folder: &Folder, arguments: &[&str], url: &str, input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rowlock"));
    command.args(arguments).current_dir(&folder.0).env("DATABASE_URL", url).env("RUST_BACKTRACE", "0");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[actix_web::test]
async fn an_operator_makes_the_first_owner_and_resets_passwords() {
    let (app, folder) = (TestApp::start(), Folder::new());
    let url = app.database.url.clone();
    let variables = [("DATABASE_URL", url.as_str()), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET)];
    let shop = format!("{}/v1/admin/merchants/1", app.address);
    let staff = |arguments: &[&str]| run(&folder.0, &[&["staff"], arguments].concat(), &variables);

    let added = staff(&["--merchant", "1", "--login", "boss", "--role", "owner"]);
    let text = String::from_utf8(added.stdout).unwrap();
    let (first, second) = text.split_once('\n').unwrap();
    assert_eq!(first, "added owner boss of merchant 1");
    let password = second.strip_prefix("password: ").unwrap().trim_end();
    assert_eq!(password.len(), 16);
    let session = log_in(&shop, "boss", password).await;
    assert_eq!((session.status.as_u16(), &session.json()["role"]), (201, &json!("owner")));

    let arguments = ["staff", "--merchant", "1", "--login", "kitchen", "--role", "cashier", "--password-stdin"];
    app.execute("UPDATE staff SET is_active = false WHERE login = 'kitchen'");
    let reset = with_input(&folder, &arguments, &url, "given by hand\n");
    assert_eq!(String::from_utf8(reset.stdout).unwrap(), "reset cashier kitchen of merchant 1\n");
    assert_eq!(log_in(&shop, "kitchen", "given by hand").await.json()["role"], "cashier");
    assert_eq!(log_in(&shop, "kitchen", PASSWORD).await.status, 401);
    let ended =
        Answer::of(Client::new().get(format!("{shop}/me")).bearer_auth(session.json()["token"].as_str().unwrap()))
            .await;
    assert_eq!(ended.status, 200, "others are not logged out");

    for (arguments, sentence) in [
        (["--merchant", "9", "--login", "x", "--role", "owner"], "there is no merchant 9"),
        (
            ["--merchant", "1", "--login", " ", "--role", "owner"],
            "the login is not valid: it must have 1 to 50 characters",
        ),
        (["--merchant", "1", "--login", "x\u{200b}", "--role", "owner"], "the login is not valid"),
        (["--merchant", "1", "--login", "x", "--role", "king"], "invalid value 'king' for '--role <ROLE>'"),
    ] {
        let output = staff(&arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && text.contains(sentence), "{text}");
    }
    let short = with_input(&folder, &arguments, &url, "short\n");
    assert!(String::from_utf8(short.stderr).unwrap().contains("a password has 8 to 200 characters"));
}

#[actix_web::test]
async fn the_demo_restaurant_has_staff_and_one_of_ones_own_has_none() {
    let folder = Folder::new();
    let (service, log) = Service::start_logged(&folder.0, &[]);
    let shop = service.url.replace("/v1/merchants/", "/v1/admin/merchants/");
    for role in ["owner", "manager", "cashier", "kitchen"] {
        assert_eq!(log_in(&shop, role, "rowlock-demo").await.json()["role"], role);
    }
    assert!(log.iter().any(|line| line.contains("WARN") && line.contains("rowlock-demo")), "{log:#?}");
    let seeded = run(&folder.0, &["seed"], &[]);
    assert_eq!(String::from_utf8(seeded.stdout).unwrap(), "added merchant 2\n");
    let log = String::from_utf8(seeded.stderr).unwrap();
    assert!(log.contains("rowlock staff --merchant 2 --login owner --role owner"), "{log}");
    assert_eq!(log_in(&shop.replace("/merchants/1", "/merchants/2"), "owner", "rowlock-demo").await.status, 401);
    let added = run(&folder.0, &["staff", "--merchant", "2", "--login", "owner", "--role", "owner"], &[]);
    assert!(String::from_utf8(added.stdout).unwrap().starts_with("added owner owner of merchant 2\npassword: "));
}

/// As the README walks: tables, restaurant, owner, panel.
#[actix_web::test]
async fn a_restaurant_of_ones_own_begins_empty_and_open() {
    let (database, folder) = (Arc::new(TestDatabase::clone_of("template1")), Folder::new());
    let variables = [("DATABASE_URL", database.url.as_str()), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET)];
    let rowlock = |arguments: &[&str]| run(&folder.0, arguments, &variables);
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();

    let merchant = ["merchant", "--name", " 老王面馆 ", "--name-en", "Wang's Noodles", "--time-zone", "Asia/Urumqi"];
    let early = rowlock(&merchant);
    assert!(early.status.code() == Some(2) && said(early.stderr).contains("run `rowlock migrate`"));
    assert!(rowlock(&["migrate"]).status.success());
    let long = "面".repeat(51);
    for (arguments, sentence) in [
        (["--name", " ", "--name-en", "x"], "the name is not valid: it must have 1 to 50 characters"),
        (["--name", "x", "--name-en", &long], "the name is not valid: it must have 1 to 50 characters"),
        (["--name", "x", "--name-en", "a\u{202e}b"], "the name is not valid: it must not have control characters"),
        (["--name", "x", "--time-zone", "Asia/Peking"], "there is no time zone \"Asia/Peking\""),
    ] {
        let refused = rowlock(&[&["merchant"], &arguments[..]].concat());
        assert_eq!((refused.status.code(), said(refused.stderr)), (Some(2), format!("rowlock: {sentence}\n")));
    }
    let added = rowlock(&merchant);
    assert_eq!(said(added.stdout), "added merchant 1\n");
    let (next, log) = ("staff --merchant 1 --login owner --role owner", said(added.stderr));
    assert!(log.contains(&format!("rowlock {next}")), "{log}");
    let owner = said(rowlock(&next.split(' ').collect::<Vec<_>>()).stdout);
    let password = owner.split_once("password: ").unwrap().1.trim_end();
    assert_eq!(said(rowlock(&["merchant", "--name", "x"]).stdout), "added merchant 2\n");
    let second = "SELECT concat_ws(' ', name_zh, name_en, time_zone) AS value FROM merchants WHERE id = 2";
    assert_eq!(words(&mut database.conn(), second), ["x x Asia/Shanghai"]);

    let app = TestApp::with(Setup { database: Some(Arc::clone(&database)), ..Setup::default() });
    let shop = format!("{}/v1/admin/merchants/1", app.address);
    let session = log_in(&shop, "owner", password).await;
    assert_eq!((session.status.as_u16(), &session.json()["role"]), (201, &json!("owner")));
    let token = session.json()["token"].as_str().unwrap().to_owned();
    let show =
        async |what: &str| Answer::of(Client::new().get(format!("{shop}/{what}")).bearer_auth(&token)).await.json();
    assert_eq!(show("menu").await["categories"], json!([]));
    assert_eq!(app.get("/v1/merchants/1/menu").await.json()["categories"], json!([]));
    let settings = show("settings").await;
    assert_eq!(settings["name"], json!({ "zh": "老王面馆", "en": "Wang's Noodles" }));
    let of = |field: &str| settings[field].clone();
    assert_eq!([of("time_zone"), of("hours"), of("paused")], [json!("Asia/Urumqi"), json!(null), json!(false)]);
    let amounts = [of("minimum_amount"), of("freight"), of("free_freight_from")];
    assert_eq!(amounts, [json!("0.00"), json!("0.00"), json!(null)]);
}
