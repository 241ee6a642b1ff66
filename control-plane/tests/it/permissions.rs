//! Roles and what they may do.

use proptest::{
    prelude::{ProptestConfig, any},
    sample::{Index, select},
    test_runner::TestRunner,
};
use restroy_control_plane::{
    DomainError,
    auth::{Caller, Permission, Role},
    sql,
};
use restroy_sdk::ids::{PipelineId, TeamId};
use serde_json::json;

use crate::support::{Home, World};

/// What each role may do, written out: the implementation has it as thresholds.
fn allowed(role: Role) -> Vec<&'static str> {
    let viewer = ["team.read", "member.read", "board.read", "kv.read", "pipeline.read", "run.read"];
    let operator = ["pipeline.run", "run.cancel", "outbox.read"];
    let editor = [
        "board.create",
        "board.edit",
        "library.write",
        "pipeline.create",
        "pipeline.edit",
        "pipeline.delete",
        "secret.write",
        "configuration.write",
        "kv.write",
        "run.keep",
    ];
    let admin = [
        "audit.read",
        "board.archive",
        "board.delete",
        "board.administer",
        "capability.grant",
        "team.edit",
        "member.invite",
        "member.edit",
        "member.remove",
        "role.edit",
        "token.manage",
    ];
    let owner = ["team.delete", "team.transfer"];
    let sets: &[&[&'static str]] = &[&viewer, &operator, &editor, &admin, &owner];
    let take = match role {
        Role::Viewer => 1,
        Role::Operator => 2,
        Role::Editor => 3,
        Role::Admin => 4,
        Role::Owner => 5,
    };
    sets[..take].iter().flat_map(|set| set.iter().copied()).collect()
}

#[test]
fn the_roles_are_these_sets() {
    for role in Role::ALL {
        let held: Vec<_> = Permission::ALL.iter().filter(|permission| role.contains(**permission)).collect();
        let mut held: Vec<_> = held.into_iter().map(|permission| permission.as_str()).collect();
        let mut expected = allowed(*role);
        held.sort_unstable();
        expected.sort_unstable();
        assert_eq!(held, expected, "{role}");
        assert_eq!(role.as_str().parse::<Role>().unwrap(), *role);
    }
}

/// For any member, team and permission: the scope is given if and only if the person is a member of that very team
/// with a role that holds the permission; and who is not a member learns nothing.
#[test]
fn a_scope_is_given_exactly_to_roles_that_hold_the_permission() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (world, teams, callers) = runtime.block_on(async {
        let world = World::new().await;
        let mut teams: Vec<TeamId> = Vec::new();
        let mut callers: Vec<(Caller, usize, Role)> = Vec::new();
        let ann = world.person("ann").await;
        for team in 0..2 {
            let id = ann.team("Team").await;
            teams.push(id.parse().unwrap());
            for role in Role::ALL {
                let person = world.person(&format!("{role}-{team}")).await;
                person.join(&id, *role).await;
                let caller = Caller::from_session(person.id.parse().unwrap(), world.state.ambient.id(), None);
                callers.push((caller, team, *role));
            }
        }
        drop(ann);
        (world, teams, callers)
    });
    let mut runner = TestRunner::new(ProptestConfig::with_cases(300));
    let strategy = (select(callers), any::<Index>(), select(Permission::ALL));
    let state = world.state.clone();
    runner
        .run(&strategy, |((caller, home, role), team, permission)| {
            let team = team.index(teams.len());
            let given = runtime.block_on(caller.team(&state, teams[team], permission));
            match given {
                Ok(scope) => {
                    assert!(team == home && role.contains(permission), "{role} got {permission}");
                    assert_eq!((scope.team(), scope.role()), (teams[team], role.as_str()));
                    for other in Permission::ALL {
                        assert_eq!(scope.has_permission(*other), allowed(role).contains(&other.as_str()));
                    }
                }
                Err(error) if team == home => {
                    assert!(matches!(error, DomainError::Forbidden(_)), "{error}");
                    assert!(!role.contains(permission), "{role} was refused {permission}");
                }
                Err(error) => assert!(matches!(error, DomainError::NotFound), "{error}"),
            }
            Ok(())
        })
        .unwrap();
    runtime.block_on(async { drop(world) });
}

#[tokio::test]
async fn what_is_taken_away_meanwhile_stops_the_write() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let home = Home::of(&ann).await;
    let bob = world.person("bob").await;
    bob.join(&home.team, Role::Editor).await;
    let caller = world.state.tokens.verify(&world.state.ambient, &bob.token);
    let (user_id, session_id) = caller.unwrap();
    let pipeline: PipelineId = home.pipeline.parse().unwrap();
    let caller = Caller::from_session(user_id, session_id, None);
    let scope = caller.pipeline(&world.state, pipeline, Permission::PipelineEdit).await.unwrap();
    scope.write().await.unwrap();

    let board = format!("/v1/boards/{}", home.board);
    ann.patch(&board, json!({ "archived": true })).await.expect(200);
    assert!(matches!(scope.write().await, Err(DomainError::Conflict(_))));
    ann.patch(&board, json!({ "archived": false })).await.expect(200);
    scope.write_durably().await.unwrap();
    let turn = async |role: &str| {
        let mut tx = world.state.db.system_write().await.unwrap();
        let change = "UPDATE memberships SET role = $2 WHERE user_id = $1";
        sql!(&mut tx, execute, sqlx::query(change).bind(user_id).bind(role)).unwrap();
        tx.commit().await.unwrap();
    };
    // A second permission, as of the write too.
    turn("admin").await;
    let (tx, renewed) = scope.write_with_scope().await.unwrap();
    assert!(renewed.has_permission(Permission::CapabilityGrant) && !scope.has_permission(Permission::CapabilityGrant));
    drop(tx);
    turn("editor").await;
    let (tx, renewed) = renewed.write_with_scope().await.unwrap();
    assert!(
        !renewed.has_permission(Permission::CapabilityGrant)
            && !renewed.has_team_permission(Permission::CapabilityGrant)
    );
    drop(tx);
    turn("viewer").await;
    assert!(matches!(scope.write_durably().await, Err(DomainError::Forbidden(_))));
    ann.delete(&board).await.expect(204);
    assert!(matches!(scope.write().await, Err(DomainError::NotFound)));
}
