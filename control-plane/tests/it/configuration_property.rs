//! What a script is configured with, for any history of changes at its three places and any moment of
//! start: compared with a model that is too simple to be wrong.

use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any},
    sample::{Index, select},
    test_runner::TestRunner,
};
use serde_json::{Value, json};

use crate::{
    configuration::settings_at,
    support::{Home, World, one_file, one_step},
};

/// `DECLARED` is a key of the step's `config`, `SECRET` one of its `secrets`, `OTHER` is neither.
const KEYS: [&str; 3] = ["DECLARED", "SECRET", "OTHER"];

/// What a change makes of a key.
#[derive(Debug, Clone, PartialEq)]
enum To {
    Plain(String),
    Secret(String),
    Removed,
}

/// Of a place: every change in its order, as (key, to what).
type History = Vec<(&'static str, To)>;

/// What a key holds after the first `changes`; `None` when it is not in force.
fn held<'a>(history: &'a [(&'static str, To)], key: &str, changes: usize) -> Option<&'a To> {
    history[..changes]
        .iter()
        .rev()
        .find(|(changed, _)| *changed == key)
        .map(|(_, to)| to)
        .filter(|to| **to != To::Removed)
}

/// What the script gets that starts after so many changes of each place.
fn expected(places: &[History; 3], started: [usize; 3]) -> Value {
    let nearest = |key: &str, when: &dyn Fn(usize) -> usize| {
        (0..3).find_map(|place| held(&places[place], key, when(place)).cloned())
    };
    let as_started = |place: usize| started[place];
    let mut config = json!({ "DECLARED": "default" });
    if let Some(To::Plain(value)) = nearest("DECLARED", &as_started) {
        config["DECLARED"] = value.into();
    }
    if let Some(To::Plain(value)) = held(&places[0], "OTHER", started[0]) {
        config["OTHER"] = value.clone().into();
    }
    match nearest("SECRET", &|place| places[place].len()) {
        Some(To::Secret(secret)) => json!({ "config": config, "secrets": { "SECRET": secret } }),
        _ => json!({ "config": config, "missing": ["SECRET"] }),
    }
}

#[test]
fn what_a_script_gets_is_what_the_nearest_place_had() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::new());
    let ann = runtime.block_on(world.person("ann"));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(12));
    // Place, key, sort; then moments to look from.
    let change = (0..3_usize, select(KEYS.to_vec()), 0..3_u8);
    let strategy = (vec(change, 0..24), vec([0; 3].map(|_| any::<Index>()), 4));
    runner
        .run(&strategy, |(changes, moments)| {
            runtime.block_on(async {
                let home = Home::of(&ann).await;
                let mut document = one_step();
                document["steps"]["a"]["config"] = json!({ "DECLARED": "default" });
                document["steps"]["a"]["secrets"] = json!(["SECRET"]);
                ann.publish(&home.pipeline, document, one_file()).await.expect(200);
                let mut places: [History; 3] = Default::default();
                for (number, (place, key, sort)) in changes.into_iter().enumerate() {
                    let of = [("scripts", &home.script), ("boards", &home.board), ("teams", &home.team)][place];
                    let path = format!("/v1/{}/{}/configuration/{key}", of.0, of.1);
                    let value = format!("the value number {number}");
                    let to = match sort {
                        0 => {
                            ann.put(&path, json!({ "value": value })).await.expect(200);
                            To::Plain(value)
                        }
                        1 => {
                            ann.put(&path, json!({ "value": value, "secret": true })).await.expect(200);
                            To::Secret(value)
                        }
                        _ => {
                            let set = held(&places[place], key, places[place].len()).is_some();
                            ann.delete(&path).await.expect(if set { 204 } else { 404 });
                            if !set {
                                continue;
                            }
                            To::Removed
                        }
                    };
                    places[place].push((key, to));
                }
                for moment in moments {
                    let started = [0, 1, 2].map(|place| moment[place].index(places[place].len() + 1));
                    let revisions = started.map(|changes| i64::try_from(changes).unwrap());
                    let (mut settings, _) = settings_at(&ann, &home, revisions).await;
                    let settings = settings.as_object_mut().unwrap();
                    settings
                        .retain(|_, held| held.as_object().is_none_or(|held| !held.is_empty()) && *held != json!([]));
                    assert_eq!(Value::Object(settings.clone()), expected(&places, started), "{places:?} {started:?}");
                }
            });
            Ok(())
        })
        .unwrap();
    drop(ann);
    runtime.block_on(async { drop(world) });
}
