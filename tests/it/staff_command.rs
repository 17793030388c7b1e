//! `rowlock staff`, and whom the demo restaurant has to log in.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use reqwest::Client;
use serde_json::json;

use crate::clients::Answer;
use crate::command::{Folder, SECRET, Service, run};
use crate::harness::{PASSWORD, TestApp};

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
        (["--merchant", "1", "--login", " ", "--role", "owner"], "a login has 1 to 50 characters"),
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
