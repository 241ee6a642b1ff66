//! Accounts under many who act at once, through two replicas on one database: what is good once is spent once,
//! limits hold, and no team is left without an owner.

use reqwest::{Method, StatusCode};
use restroy_control_plane::sql;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use crate::{
    races::{Pair, at_once},
    runs_support::*,
};

const PASSWORD: &str = "correct horse battery";

/// Sends bodies to a path at once; what came of each.
async fn together(
    pair: &Pair,
    person: &Person,
    method: Method,
    path: &str,
    bodies: Vec<Value>,
) -> Vec<(StatusCode, Value)> {
    at_once(bodies.into_iter().enumerate().map(|(n, body)| {
        let (person, method, path) = (pair.at(person, n), method.clone(), path.to_owned());
        async move { person.call(method, &path, Some(body)).await }
    }))
    .await
}

fn count(answers: &[(StatusCode, Value)], status: StatusCode) -> usize {
    answers.iter().filter(|(got, _)| *got == status).count()
}

/// The tokens in the installation's e-mails, the oldest first.
async fn mailed(pair: &Pair) -> Vec<String> {
    let mut tx = pair.it.state.db.system_read().await.unwrap();
    let texts = "SELECT body_text FROM outbox ORDER BY id";
    let texts: Vec<String> = sql!(&mut tx, fetch_all, sqlx::query_scalar(texts)).unwrap();
    let token = |text: &String| Some(text.split_once('#')?.1.split_whitespace().next()?.to_owned());
    texts.iter().filter_map(token).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_spent_once_and_few_are_sent() {
    let pair = Pair::start().await;
    let ann = pair.it.person("ann").await;
    for address in ["ann@example.com", "nobody@example.com"] {
        let ask = vec![json!({ "email": address }); 9];
        let asked = together(&pair, &ann, Method::POST, "/v1/auth/password-reset", ask).await;
        assert_eq!(count(&asked, StatusCode::ACCEPTED), 9, "{asked:?}");
    }
    assert_eq!(pair.it.count("SELECT COUNT(*) FROM outbox").await, 10, "five for each");
    let token = mailed(&pair).await.remove(0);
    let confirm = vec![json!({ "token": token, "password": "another good password" }); 6];
    let answers = together(&pair, &ann, Method::POST, "/v1/auth/password-reset/confirm", confirm).await;
    assert_eq!(count(&answers, StatusCode::NO_CONTENT), 1, "{answers:?}");
    assert_eq!(count(&answers, StatusCode::UNPROCESSABLE_ENTITY), 5, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_confirmations_at_once_the_second_changes_the_address() {
    let pair = Pair::start().await;
    let ann = pair.it.person("ann").await;
    for n in 0..4 {
        let change = json!({ "email": format!("ann{n}@example.com"), "password": PASSWORD });
        ann.expect(StatusCode::ACCEPTED, Method::POST, "/v1/me/email", Some(change)).await;
        let tokens = mailed(&pair).await;
        let both = tokens[tokens.len() - 2..].iter().map(|token| json!({ "token": token })).collect();
        let answers = together(&pair, &ann, Method::POST, "/v1/me/email/confirm", both).await;
        let mut said: Vec<_> = answers.iter().map(|(_, answer)| text(&answer["status"])).collect();
        said.sort();
        assert_eq!(said, ["changed", "waiting"]);
        assert_eq!(text(&ann.get("/v1/me").await["email"]), format!("ann{n}@example.com"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_of_the_second_factor_is_taken_once() {
    let pair = Pair::start().await;
    let ann = pair.it.person("ann").await;
    let begun = ann.expect(StatusCode::OK, Method::POST, "/v1/me/totp", Some(json!({ "password": PASSWORD }))).await;
    let secret = Secret::try_from_base32(text(&begun["secret"])).unwrap();
    let totp = Builder::new().with_secret(secret).build().unwrap();
    let code = |steps: i64| {
        let seconds = pair.it.state.ambient.now().micros() / 1_000_000 + 30 * steps;
        totp.generate(u64::try_from(seconds).unwrap()).to_string()
    };
    let confirm = vec![json!({ "code": code(0) }); 4];
    let answers = together(&pair, &ann, Method::POST, "/v1/me/totp/confirm", confirm).await;
    assert_eq!((count(&answers, StatusCode::OK), count(&answers, StatusCode::CONFLICT)), (1, 3), "{answers:?}");
    let login = vec![json!({ "email": "ann@example.com", "password": PASSWORD }); 6];
    let challenges = together(&pair, &ann, Method::POST, "/v1/auth/login", login).await;
    let next = code(1);
    let shown = challenges.iter().map(|(_, problem)| json!({ "challenge": problem["challenge"], "code": next }));
    let answers = together(&pair, &ann, Method::POST, "/v1/auth/login/second-factor", shown.collect()).await;
    assert_eq!((count(&answers, StatusCode::OK), count(&answers, StatusCode::UNAUTHORIZED)), (1, 5), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_bounded() {
    let pair = Pair::start().await;
    let ann = pair.it.person("ann").await;
    let new = (0..54).map(|n| json!({ "name": format!("n{n}"), "password": PASSWORD })).collect();
    let answers = together(&pair, &ann, Method::POST, "/v1/me/api-tokens", new).await;
    assert_eq!((count(&answers, StatusCode::CREATED), count(&answers, StatusCode::TOO_MANY_REQUESTS)), (50, 4));
    let place = ann.place(None).await;
    let path = format!("/v1/teams/{}/service-accounts", place.team);
    let new = (0..54).map(|n| json!({ "name": format!("n{n}"), "role": "viewer" })).collect();
    let answers = together(&pair, &ann, Method::POST, &path, new).await;
    assert_eq!((count(&answers, StatusCode::CREATED), count(&answers, StatusCode::TOO_MANY_REQUESTS)), (50, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_who_go_at_once_leave_an_owner() {
    let pair = Pair::start().await;
    let (ann, place) = pair.it.pipeline(None).await;
    let (bob, carl) = (pair.it.person("bob").await, pair.it.person("carl").await);
    for join in [
        "INSERT INTO memberships (team_id, user_id, role, created_at)
         SELECT t.id, u.id, 'owner', 0 FROM teams t, users u WHERE u.name = 'bob'",
        "INSERT INTO memberships (team_id, user_id, role, created_at)
         SELECT t.id, u.id, 'viewer', 0 FROM teams t, users u WHERE u.name = 'carl'",
    ] {
        pair.it.sql(join).await;
    }
    let proof = Some(json!({ "password": PASSWORD }));
    let answers = at_once([ann, bob].into_iter().enumerate().map(|(n, person)| {
        let (person, proof) = (pair.at(&person, n), proof.clone());
        async move { person.call(Method::DELETE, "/v1/me", proof).await }
    }))
    .await;
    assert_eq!((count(&answers, StatusCode::NO_CONTENT), count(&answers, StatusCode::CONFLICT)), (1, 1), "{answers:?}");
    carl.get(&format!("/v1/teams/{}", place.team)).await;
    assert_eq!(pair.it.count("SELECT COUNT(*) FROM memberships WHERE role = 'owner'").await, 1);
}

/// The team is handed over to somebody who deletes their account at that moment, and who owns another team, so that
/// there is something to look at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_team_is_handed_to_who_is_gone() {
    let pair = Pair::start().await;
    let (ann, place) = pair.it.pipeline(None).await;
    let join = "INSERT INTO memberships (team_id, user_id, role, created_at)
                SELECT t.id, u.id, 'viewer', 0 FROM teams t, users u WHERE u.name = 'NAME' AND t.id = TEAM";
    let without = "SELECT COUNT(*) FROM teams t WHERE t.deleted_at IS NULL AND NOT EXISTS (
                       SELECT 1 FROM memberships m WHERE m.team_id = t.id AND m.role = 'owner')";
    for n in 0..8 {
        let name = format!("bob{n}");
        let bob = pair.it.person(&name).await;
        bob.place(None).await;
        let team = "(SELECT m.team_id FROM memberships m JOIN users u ON u.id = m.user_id WHERE u.name = 'ann')";
        pair.it.sql(&join.replace("NAME", &name).replace("TEAM", team)).await;
        let bob_id = bob.get("/v1/me").await["id"].clone();
        let calls = [
            (pair.at(&bob, n), Method::DELETE, "/v1/me".to_owned(), json!({ "password": PASSWORD })),
            (
                pair.at(&ann, n + 1),
                Method::POST,
                format!("/v1/teams/{}/transfer", place.team),
                json!({ "user_id": bob_id }),
            ),
        ];
        let answers = at_once(
            calls.map(|(person, method, path, body)| async move { person.call(method, &path, Some(body)).await }),
        )
        .await;
        assert_eq!(pair.it.count(without).await, 0, "{answers:?}");
        if answers[1].0 == StatusCode::OK {
            // Bob is the owner, and not gone.
            assert_eq!(answers[0].0, StatusCode::CONFLICT, "{answers:?}");
            break;
        }
    }
}
