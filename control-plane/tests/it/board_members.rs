//! Private boards, and roles on single boards.

use restroy_control_plane::auth::Role;
use serde_json::json;

use crate::support::{Home, Person, World, one_file, one_step};

/// A home with a run and an e-mail, an admin, an editor and a viewer.
struct Scene<'a> {
    ann: Person<'a>,
    admin: Person<'a>,
    editor: Person<'a>,
    viewer: Person<'a>,
    home: Home,
    run: String,
}

impl<'a> Scene<'a> {
    async fn new(world: &'a World) -> Self {
        let ann = world.person("ann").await;
        let home = Home::of(&ann).await;
        let run = ann.post(&format!("/v1/pipelines/{}/runs", home.pipeline), json!({})).await.expect(202).id();
        let admin = world.person("admin").await;
        admin.join(&home.team, Role::Admin).await;
        let editor = world.person("editor").await;
        editor.join(&home.team, Role::Editor).await;
        let viewer = world.person("viewer").await;
        viewer.join(&home.team, Role::Viewer).await;
        Self { ann, admin, editor, viewer, home, run }
    }

    fn board(&self) -> String {
        format!("/v1/boards/{}", self.home.board)
    }

    fn member(&self, person: &Person<'_>) -> String {
        format!("{}/members/{}", self.board(), person.id)
    }

    async fn make_private(&self) {
        let board = self.ann.patch(&self.board(), json!({ "private": true })).await.expect(200);
        assert_eq!(board.body["private"], true);
    }

    /// The board and what lies below it.
    fn paths(&self) -> Vec<String> {
        let Home { pipeline, script, .. } = &self.home;
        vec![
            self.board(),
            format!("{}/pipelines", self.board()),
            format!("{}/members", self.board()),
            format!("{}/kv", self.board()),
            format!("/v1/pipelines/{pipeline}"),
            format!("/v1/pipelines/{pipeline}/runs"),
            format!("/v1/scripts/{script}"),
            format!("/v1/runs/{}", self.run),
            format!("/v1/runs/{}/events", self.run),
        ]
    }
}

/// How many boards, runs and e-mails of runs the person sees in the team's lists.
async fn listed(person: &Person<'_>, team: &str) -> (usize, usize) {
    let count = async |what: &str| person.get(&format!("/v1/teams/{team}/{what}")).await.expect(200).items().len();
    (count("boards").await, count("runs").await)
}

#[tokio::test]
async fn a_private_board_is_not_there_for_others() {
    let world = World::new().await;
    let it = Scene::new(&world).await;
    let team = &it.home.team;
    assert_eq!(listed(&it.editor, team).await, (1, 1));
    it.make_private().await;
    for person in [&it.editor, &it.viewer] {
        for path in it.paths() {
            person.get(&path).await.problem("not_found");
        }
        assert_eq!(listed(person, team).await, (0, 0));
        person.delete(&it.board()).await.problem("not_found");
        person.publish(&it.home.pipeline, one_step(), one_file()).await.problem("not_found");
        person.post(&format!("/v1/runs/{}/cancel", it.run), json!({})).await.problem("not_found");
    }
    for person in [&it.ann, &it.admin] {
        for path in it.paths() {
            person.get(&path).await.expect(200);
        }
        assert_eq!(listed(person, team).await, (1, 1));
    }
    // Nor is its name free: that there is a board of that name is all that is reported.
    let new = json!({ "name": "Board" });
    it.editor.post(&format!("/v1/teams/{team}/boards"), new).await.problem("name_taken");
    it.ann.patch(&it.board(), json!({ "private": false })).await.expect(200);
    assert_eq!(listed(&it.editor, team).await, (1, 1));
}

#[tokio::test]
async fn e_mails_of_runs_on_private_boards_are_not_listed() {
    let world = World::new().await;
    let it = Scene::new(&world).await;
    let mut tx = world.state.db.system_write().await.unwrap();
    let (run, team): (restroy_sdk::ids::RunId, restroy_sdk::ids::TeamId) =
        (it.run.parse().unwrap(), it.home.team.parse().unwrap());
    let mail =
        "INSERT INTO outbox (id, team_id, run_id, message_id, recipients, subject, body_text, status, created_at)
                VALUES ($1, $2, $3, 'm', '[]', 'S', 'T', 'held', 0)";
    let id = world.state.ambient.uuid();
    restroy_control_plane::sql!(&mut tx, execute, sqlx::query(mail).bind(id).bind(team).bind(run)).unwrap();
    tx.commit().await.unwrap();
    let outbox = format!("/v1/teams/{team}/outbox");
    let count = async |person: &Person<'_>| person.get(&outbox).await.expect(200).items().len();
    assert_eq!(count(&it.editor).await, 1);
    it.make_private().await;
    assert_eq!((count(&it.editor).await, count(&it.admin).await), (0, 1));
    it.ann.put(&it.member(&it.editor), json!({ "role": "viewer" })).await.expect(200);
    assert_eq!(count(&it.editor).await, 1);
}

#[tokio::test]
async fn a_role_on_a_board_adds_to_the_one_in_the_team() {
    let world = World::new().await;
    let it = Scene::new(&world).await;
    let publish = async |person: &Person<'_>| person.publish(&it.home.pipeline, one_step(), one_file()).await;
    publish(&it.viewer).await.problem("forbidden");
    let member = it.admin.put(&it.member(&it.viewer), json!({ "role": "editor" })).await.expect(200);
    assert_eq!((&member.body["role"], &member.body["name"]), (&json!("editor"), &json!("viewer")));
    publish(&it.viewer).await.expect(200);
    // Here only.
    let other = it.ann.board(&it.home.team, "Other").await;
    let new = json!({ "name": "New" });
    it.viewer.post(&format!("/v1/boards/{other}/pipelines"), new.clone()).await.problem("forbidden");
    it.viewer.post(&format!("/v1/teams/{}/boards", it.home.team), new).await.problem("forbidden");
    // A lesser one takes nothing away.
    it.admin.put(&it.member(&it.editor), json!({ "role": "viewer" })).await.expect(200);
    publish(&it.editor).await.expect(200);
    let page = it.viewer.get(&format!("{}/members?limit=1", it.board())).await.expect(200);
    let next = page.body["next_cursor"].as_str().unwrap();
    let rest = it.viewer.get(&format!("{}/members?cursor={next}", it.board())).await.expect(200);
    assert_eq!((page.items().len(), rest.items().len()), (1, 1));
    it.admin.delete(&it.member(&it.viewer)).await.expect(204);
    it.admin.delete(&it.member(&it.viewer)).await.problem("not_found");
    publish(&it.viewer).await.problem("forbidden");
}

#[tokio::test]
async fn on_a_private_board_the_role_there_counts_alone() {
    let world = World::new().await;
    let it = Scene::new(&world).await;
    it.make_private().await;
    it.ann.put(&it.member(&it.viewer), json!({ "role": "editor" })).await.expect(200);
    it.ann.put(&it.member(&it.editor), json!({ "role": "viewer" })).await.expect(200);
    it.ann.put(&it.member(&it.admin), json!({ "role": "viewer" })).await.expect(200);
    for person in [&it.viewer, &it.editor, &it.admin] {
        for path in it.paths() {
            person.get(&path).await.expect(200);
        }
        assert_eq!(listed(person, &it.home.team).await, (1, 1));
    }
    let publish = async |person: &Person<'_>| person.publish(&it.home.pipeline, one_step(), one_file()).await;
    publish(&it.viewer).await.expect(200);
    let refused = publish(&it.editor).await.problem("forbidden");
    assert!(refused.text.contains("`viewer`"), "the role that counts is named: {}", refused.text);
    publish(&it.admin).await.expect(200);
    // Leaving the board, they see it no more.
    it.editor.delete(&it.member(&it.editor)).await.expect(204);
    it.editor.get(&it.board()).await.problem("not_found");
}

#[tokio::test]
async fn an_own_role_may_see_single_boards_alone() {
    let world = World::new().await;
    let it = Scene::new(&world).await;
    let roles = format!("/v1/teams/{}/roles", it.home.team);
    it.ann.post(&roles, json!({ "name": "Guest", "permissions": [] })).await.expect(201);
    it.ann.post(&roles, json!({ "name": "Looks", "permissions": ["board.read", "run.read"] })).await.expect(201);
    let member = format!("/v1/teams/{}/members/{}", it.home.team, it.viewer.id);
    it.ann.patch(&member, json!({ "role": "Guest" })).await.expect(200);
    assert_eq!(listed(&it.viewer, &it.home.team).await, (0, 0));
    it.viewer.get(&it.board()).await.problem("forbidden");
    it.ann.put(&it.member(&it.viewer), json!({ "role": "Guest" })).await.expect(200);
    assert_eq!(listed(&it.viewer, &it.home.team).await, (0, 0), "a role that sees no boards sees none");
    it.ann.put(&it.member(&it.viewer), json!({ "role": "Looks" })).await.expect(200);
    it.ann.board(&it.home.team, "Other").await;
    assert_eq!(listed(&it.viewer, &it.home.team).await, (1, 1));
    it.viewer.get(&it.board()).await.expect(200);
    it.viewer.get(&format!("/v1/runs/{}", it.run)).await.expect(200);
    it.viewer.get(&format!("/v1/pipelines/{}", it.home.pipeline)).await.problem("forbidden");
}

#[tokio::test]
async fn who_grants_on_a_board_does_not_grant_what_is_the_whole_teams() {
    let world = World::new().await;
    let it = Scene::new(&world).await;
    it.ann.put(&it.member(&it.editor), json!({ "role": "admin" })).await.expect(200);
    let secret = json!({ "value": "a long secret", "secret": true });
    it.ann.put(&format!("/v1/teams/{}/configuration/WIDE", it.home.team), secret.clone()).await.expect(200);
    it.ann.put(&format!("{}/configuration/NEAR", it.board()), secret).await.expect(200);
    let naming = |secrets: &[&str]| {
        json!({ "restroy": 1, "steps": { "a": {
            "script": "scripts/a.lua", "secrets": secrets, "allow": { "kv": true } } } })
    };
    let publish = async |person: &Person<'_>, secrets: &[&str]| {
        person.publish(&it.home.pipeline, naming(secrets), one_file()).await
    };
    publish(&it.editor, &["NEAR", "NONE"]).await.expect(200);
    let refused = publish(&it.editor, &["NEAR", "WIDE"]).await.problem("forbidden");
    assert_eq!(refused.pointers(), ["/steps/a/secrets/1"]);
    // Nor by hiding it first.
    it.editor
        .put(&format!("{}/configuration/WIDE", it.board()), json!({ "value": "another one", "secret": true }))
        .await
        .expect(200);
    publish(&it.editor, &["WIDE"]).await.problem("forbidden");
    publish(&it.admin, &["WIDE"]).await.expect(200);
    publish(&it.editor, &["WIDE"]).await.expect(200);
}

#[tokio::test]
async fn addresses_are_for_who_sees_the_teams_members() {
    let world = World::new().await;
    let it = Scene::new(&world).await;
    let roles = format!("/v1/teams/{}/roles", it.home.team);
    it.ann.post(&roles, json!({ "name": "Guest", "permissions": [] })).await.expect(201);
    let member = format!("/v1/teams/{}/members/{}", it.home.team, it.viewer.id);
    it.ann.patch(&member, json!({ "role": "Guest" })).await.expect(200);
    it.ann.put(&it.member(&it.viewer), json!({ "role": "viewer" })).await.expect(200);
    let seen = async |person: &Person<'_>| {
        let page = person.get(&format!("{}/members", it.board())).await.expect(200);
        page.items()[0]["email"].clone()
    };
    assert_eq!(seen(&it.viewer).await, json!(null));
    assert_eq!(seen(&it.editor).await, json!("viewer@example.com"));
}

#[tokio::test]
async fn who_administers_a_board_gives_no_more_than_that() {
    let world = World::new().await;
    let it = Scene::new(&world).await;
    it.editor.put(&it.member(&it.viewer), json!({ "role": "viewer" })).await.problem("forbidden");
    it.editor.patch(&it.board(), json!({ "private": true })).await.problem("forbidden");
    it.ann.put(&it.member(&it.editor), json!({ "role": "owner" })).await.problem("invalid");
    let roles = format!("/v1/teams/{}/roles", it.home.team);
    let keeper = json!({ "name": "Keeper", "permissions": ["board.read", "board.administer"] });
    it.ann.post(&roles, keeper).await.expect(201);
    it.ann.put(&it.member(&it.viewer), json!({ "role": "Keeper" })).await.expect(200);
    // The viewer holds what viewers do, and administers this board: editing is not theirs to give.
    it.viewer.put(&it.member(&it.viewer), json!({ "role": "editor" })).await.problem("forbidden");
    it.viewer.put(&it.member(&it.editor), json!({ "role": "viewer" })).await.problem("forbidden");
    let dora = world.person("dora").await;
    it.viewer.put(&it.member(&dora), json!({ "role": "viewer" })).await.problem("not_found");
    dora.join(&it.home.team, Role::Viewer).await;
    it.viewer.put(&it.member(&dora), json!({ "role": "Keeper" })).await.expect(200);
    it.viewer.patch(&it.board(), json!({ "private": true })).await.expect(200);
    dora.get(&it.board()).await.expect(200);
    dora.patch(&it.board(), json!({ "private": true, "name": "Mine" })).await.problem("forbidden");
    // An archived board still closes its doors.
    it.ann.patch(&it.board(), json!({ "archived": true, "private": false })).await.expect(200);
    it.ann.patch(&it.board(), json!({ "private": true })).await.expect(200);
    it.ann.delete(&it.member(&dora)).await.expect(204);
    dora.get(&it.board()).await.problem("not_found");
}
