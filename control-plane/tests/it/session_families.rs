//! Refresh tokens under concurrency: whatever is shown at once and in whatever order, a family has at most one
//! token that is good, and a token that comes a second time ends all of it.

use proptest::{
    collection::vec,
    prelude::{Just, ProptestConfig, Strategy, any, prop_oneof},
    sample::Index,
    test_runner::TestRunner,
};
use reqwest::Method;
use serde_json::json;

use crate::support::{Person, Request, World};

/// Which of a family's tokens somebody shows.
#[derive(Debug, Clone)]
enum Show {
    Newest,
    Any(Index),
}

/// Shows a token; the next tokens (access, refresh) when it was taken.
async fn show(world: &World, token: &str) -> Option<(String, String)> {
    let body = json!({ "refresh_token": token });
    let reply = world.anonymous(Method::POST, "/v1/auth/refresh", Some(body)).await;
    if reply.status == 200 {
        let text = |field: &str| reply.body[field].as_str().unwrap().to_owned();
        return Some((text("access_token"), text("refresh_token")));
    }
    reply.problem("unauthorized");
    None
}

async fn is_let_in(world: &World, access: &str) -> bool {
    world.send(Request { token: Some(access), ..Request::new(Method::GET, "/v1/me") }).await.status == 200
}

async fn family_holds(world: &World, bystander: &Person<'_>, batches: Vec<Vec<Show>>) {
    let login = world.sign_in("ann@example.com").await;
    let (mut issued, mut access) = (vec![login.refresh.clone()], vec![login.token.clone()]);
    let mut alive = true;
    for batch in batches {
        let newest = issued.len() - 1;
        let shown: Vec<usize> = batch
            .iter()
            .map(|show| match show {
                Show::Newest => newest,
                Show::Any(index) => index.index(issued.len()),
            })
            .collect();
        let answers = futures_util::future::join_all(shown.iter().map(|n| show(world, &issued[*n]))).await;
        let taken: Vec<_> = answers.into_iter().flatten().collect();
        let alone = shown == [newest];
        if alive && alone {
            assert_eq!(taken.len(), 1, "the newest token is good");
        } else if alive {
            assert!(taken.len() <= usize::from(shown.contains(&newest)), "{shown:?} of {newest}: {}", taken.len());
        } else {
            assert!(taken.is_empty(), "a family that ended goes on");
        }
        alive = alive && alone;
        for (token, refresh) in taken {
            access.push(token);
            issued.push(refresh);
        }
        for token in &access {
            assert_eq!(is_let_in(world, token).await, alive, "access tokens live and end with the family");
        }
    }
    assert_eq!(show(world, issued.last().unwrap()).await.is_some(), alive);
    assert!(is_let_in(world, &bystander.token).await, "another session of the account ended too");
}

#[test]
fn a_family_has_one_good_token_at_most_and_ends_as_a_whole() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let bystander = runtime.block_on(world.person("ann"));
    let shows = prop_oneof![3 => Just(Show::Newest), 1 => any::<Index>().prop_map(Show::Any)];
    let batches = vec(prop_oneof![2 => vec(shows.clone(), 1..2), 1 => vec(shows, 2..5)], 1..6);
    // Fewer than the sessions of an account: the bystander's is not to end because there are too many.
    let mut runner = TestRunner::new(ProptestConfig::with_cases(40));
    runner
        .run(&batches, |batches| {
            runtime.block_on(family_holds(&world, &bystander, batches));
            Ok(())
        })
        .unwrap();
    drop(bystander);
    runtime.block_on(async { drop(world) });
}
