//! Whatever people do to each other's roles: nobody ends with more than somebody who held it gave
//! them, nobody changes what somebody mightier is, and a team always has an owner.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::subsequence, test_runner::TestRunner};
use restroy_control_plane::{
    auth::{Permission, Permissions, Role},
    sql,
    store::Tx,
};
use restroy_sdk::ids::{BoardId, RoleId, TeamId, UserId};
use serde_json::json;

use crate::support::{Person, World};

/// How many people there are; the first makes the team, the last is not in it.
const PEOPLE: usize = 5;
/// The built-in roles, and two of the team's own, which may be there.
const ROLES: [&str; 7] = ["owner", "admin", "editor", "operator", "viewer", "R0", "R1"];
/// Permissions that make a difference here.
const SOME: [Permission; 10] = [
    Permission::TeamDelete,
    Permission::TeamTransfer,
    Permission::MemberInvite,
    Permission::MemberEdit,
    Permission::MemberRemove,
    Permission::RoleEdit,
    Permission::BoardAdminister,
    Permission::BoardRead,
    Permission::PipelineEdit,
    Permission::RunRead,
];

#[derive(Debug, Clone)]
enum Act {
    SetRole(usize, &'static str),
    Remove(usize),
    Leave,
    Transfer(usize),
    MakeRole(usize, Vec<Permission>),
    EditRole(usize, Vec<Permission>),
    DeleteRole(usize),
    OnBoard(usize, &'static str),
    OffBoard(usize),
    Private(bool),
    Invite(usize, &'static str),
    Accept,
    Delete,
    Restore,
}

fn act() -> impl Strategy<Value = Act> {
    let whom = 0..PEOPLE;
    let role = prop::sample::select(&ROLES[..]);
    let own = 0..2_usize;
    let set = subsequence(&SOME[..], 0..=SOME.len());
    prop_oneof![
        4 => (whom.clone(), role.clone()).prop_map(|(whom, role)| Act::SetRole(whom, role)),
        1 => whom.clone().prop_map(Act::Remove),
        1 => Just(Act::Leave),
        1 => whom.clone().prop_map(Act::Transfer),
        3 => (own.clone(), set.clone()).prop_map(|(own, set)| Act::MakeRole(own, set)),
        3 => (own.clone(), set).prop_map(|(own, set)| Act::EditRole(own, set)),
        1 => own.prop_map(Act::DeleteRole),
        4 => (whom.clone(), role.clone()).prop_map(|(whom, role)| Act::OnBoard(whom, role)),
        1 => whom.clone().prop_map(Act::OffBoard),
        2 => any::<bool>().prop_map(Act::Private),
        3 => (whom, role).prop_map(|(whom, role)| Act::Invite(whom, role)),
        3 => Just(Act::Accept),
        1 => Just(Act::Delete),
        3 => Just(Act::Restore),
    ]
}

/// What everybody holds, read from the rows by rules of its own.
#[derive(Debug, PartialEq)]
struct Held {
    in_team: BTreeMap<UserId, Permissions>,
    on_board: BTreeMap<UserId, Permissions>,
    owners: BTreeSet<UserId>,
}

type Rows = Vec<(UserId, Option<String>, Option<RoleId>)>;

impl Held {
    async fn read(world: &World, team: TeamId, board: BoardId) -> Self {
        let tx = &mut world.state.db.system_read().await.unwrap();
        let members = "SELECT user_id, role, role_id FROM memberships WHERE team_id = $1";
        let members: Rows = sql!(&mut *tx, fetch_all, sqlx::query_as(members).bind(team)).unwrap();
        let of_board = "SELECT user_id, role, role_id FROM board_members WHERE board_id = $1";
        let of_board: Rows = sql!(&mut *tx, fetch_all, sqlx::query_as(of_board).bind(board)).unwrap();
        let private = "SELECT private FROM boards WHERE id = $1";
        let private: bool = sql!(&mut *tx, fetch_one, sqlx::query_scalar(private).bind(board)).unwrap();
        let granted = granted(tx, team).await;
        let permissions = |role: Option<String>, id: Option<RoleId>| match role {
            Some(role) => role.parse::<Role>().unwrap().permissions(),
            None => granted.get(&id.unwrap()).copied().unwrap_or_default(),
        };
        let mut held = Self { in_team: BTreeMap::new(), on_board: BTreeMap::new(), owners: BTreeSet::new() };
        for (user, role, id) in members {
            if role.as_deref() == Some("owner") {
                held.owners.insert(user);
            }
            held.in_team.insert(user, permissions(role, id));
        }
        let mut on_board: BTreeMap<UserId, Permissions> =
            of_board.into_iter().map(|(user, role, id)| (user, permissions(role, id))).collect();
        for (user, in_team) in &held.in_team {
            let there = on_board.remove(user).unwrap_or_default();
            let all =
                if private && !in_team.contains(Permission::BoardAdminister) { there } else { in_team.union(there) };
            held.on_board.insert(*user, all.iter().filter(|permission| permission.is_board_scoped()).collect());
        }
        assert!(on_board.is_empty(), "a member of the board is none of the team");
        held
    }

    fn in_team(&self, user: UserId) -> Permissions {
        self.in_team.get(&user).copied().unwrap_or_default()
    }

    fn on_board(&self, user: UserId) -> Permissions {
        self.on_board.get(&user).copied().unwrap_or_default()
    }

    /// What must hold between before and after what `giver` brought about.
    fn check(&self, after: &Self, giver: UserId, act: &Act) {
        assert!(!after.owners.is_empty(), "{act:?} left the team without an owner");
        let users: BTreeSet<UserId> = self.in_team.keys().chain(after.in_team.keys()).copied().collect();
        for user in users {
            let had = self.in_team(user);
            assert!(
                self.in_team(giver).union(had).is_superset(after.in_team(user)),
                "{act:?} gave {:?} to who had {had:?}, by one who held {:?}",
                after.in_team(user),
                self.in_team(giver)
            );
            // That a board is opened gives to each what their role in the team does.
            let may = self.on_board(giver).union(self.on_board(user)).union(had);
            assert!(
                may.is_superset(after.on_board(user)),
                "{act:?} gave {:?} on the board to who had {:?} there, by one who held {:?}",
                after.on_board(user),
                self.on_board(user),
                self.on_board(giver)
            );
            if user != giver && !self.in_team(giver).is_superset(had) {
                assert_eq!(after.in_team.get(&user), self.in_team.get(&user), "{act:?} acted on somebody mightier");
            }
        }
    }
}

async fn granted(tx: &mut Tx, team: TeamId) -> BTreeMap<RoleId, Permissions> {
    let rows = "SELECT role_id, permission FROM role_permissions WHERE team_id = $1";
    let rows: Vec<(RoleId, String)> = sql!(tx, fetch_all, sqlx::query_as(rows).bind(team)).unwrap();
    let mut granted: BTreeMap<RoleId, Permissions> = BTreeMap::new();
    for (role, permission) in rows {
        let one: Permissions = [permission.parse().unwrap()].into_iter().collect();
        let all = granted.entry(role).or_default();
        *all = all.union(one);
    }
    granted
}

/// The first invitation that waits for somebody into the team: its id, and who sent it.
async fn invitation(world: &World, person: &Person<'_>, team: TeamId) -> Option<(String, UserId)> {
    let tx = &mut world.state.db.system_read().await.unwrap();
    let waiting = "SELECT i.id, i.invited_by FROM invitations i JOIN users u ON u.email_folded = i.email_folded
                   WHERE i.team_id = $1 AND u.id = $2 AND i.state = 'pending'";
    let user: UserId = person.id.parse().unwrap();
    let found: Option<(uuid::Uuid, UserId)> =
        sql!(tx, fetch_optional, sqlx::query_as(waiting).bind(team).bind(user)).unwrap();
    found.map(|(id, by)| (id.to_string(), by))
}

/// Does it; who gave what was given by it, if anything happened.
async fn perform(
    world: &World,
    people: &[Person<'_>],
    actor: usize,
    act: &Act,
    place: (TeamId, BoardId),
) -> Option<UserId> {
    let (team, board) = place;
    let person = &people[actor];
    let email = |whom: &usize| format!("p{whom}@example.com");
    let names = |set: &[Permission]| set.iter().map(|permission| permission.as_str()).collect::<Vec<_>>();
    let mut giver: UserId = person.id.parse().unwrap();
    let at = format!("/v1/teams/{team}");
    let on_board = |whom: &usize| format!("/v1/boards/{board}/members/{}", people[*whom].id);
    let reply = match act {
        Act::SetRole(whom, role) => {
            person.patch(&format!("{at}/members/{}", people[*whom].id), json!({ "role": role })).await
        }
        Act::Remove(whom) => person.delete(&format!("{at}/members/{}", people[*whom].id)).await,
        Act::Leave => person.post(&format!("{at}/leave"), json!({})).await,
        Act::Transfer(whom) => person.post(&format!("{at}/transfer"), json!({ "user_id": people[*whom].id })).await,
        Act::MakeRole(own, set) => {
            let new = json!({ "name": format!("R{own}"), "permissions": names(set) });
            person.post(&format!("{at}/roles"), new).await
        }
        Act::EditRole(own, set) => {
            person.patch(&format!("{at}/roles/R{own}"), json!({ "permissions": names(set) })).await
        }
        Act::DeleteRole(own) => person.delete(&format!("{at}/roles/R{own}")).await,
        Act::OnBoard(whom, role) => person.put(&on_board(whom), json!({ "role": role })).await,
        Act::OffBoard(whom) => person.delete(&on_board(whom)).await,
        Act::Private(private) => person.patch(&format!("/v1/boards/{board}"), json!({ "private": private })).await,
        Act::Invite(whom, role) => {
            person.post(&format!("{at}/invitations"), json!({ "email": email(whom), "role": role })).await
        }
        Act::Delete => person.call(reqwest::Method::DELETE, &at, Some(json!({ "name": "Team" }))).await,
        Act::Restore => person.post(&format!("{at}/restore"), json!({})).await,
        Act::Accept => {
            let (id, by) = invitation(world, person, team).await?;
            giver = by;
            person.post(&format!("/v1/me/invitations/{id}/accept"), json!({})).await
        }
    };
    assert!(!reply.status.is_server_error(), "{act:?}: {}", reply.text);
    reply.status.is_success().then_some(giver)
}

/// One team's life under what proptest came up with; how many acts were allowed.
async fn live(world: &World, people: &[Person<'_>], first: &[&'static str], acts: &[(usize, Act)]) -> usize {
    let team = people[0].team("Team").await;
    let board = people[0].board(&team, "Board").await;
    for (person, role) in people[1..PEOPLE - 1].iter().zip(first) {
        person.join(&team, role.parse().unwrap()).await;
    }
    let place: (TeamId, BoardId) = (team.parse().unwrap(), board.parse().unwrap());
    let mut allowed = 0;
    let mut before = Held::read(world, place.0, place.1).await;
    for (actor, act) in acts {
        let done = perform(world, people, *actor, act, place).await;
        let after = Held::read(world, place.0, place.1).await;
        match done {
            Some(giver) => {
                allowed += 1;
                before.check(&after, giver, act);
            }
            None => assert_eq!(before, after, "{act:?} was refused and changed something"),
        }
        before = after;
    }
    // The next team is one of the few that the first person may own.
    let mut tx = world.state.db.system_write().await.unwrap();
    sql!(&mut tx, execute, sqlx::query("DELETE FROM teams WHERE id = $1").bind(place.0)).unwrap();
    tx.commit().await.unwrap();
    allowed
}

#[test]
fn no_sequence_of_calls_ends_in_more_than_was_granted_or_without_an_owner() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::new());
    let people: Vec<Person<'_>> = (0..PEOPLE).map(|n| runtime.block_on(world.person(&format!("p{n}")))).collect();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 30,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    });
    // Every other act is the founder's: else little is allowed.
    let actor = prop_oneof![Just(0_usize), 0..PEOPLE];
    let first = prop::collection::vec(prop::sample::select(&ROLES[..5]), PEOPLE - 2);
    let allowed = std::cell::Cell::new(0);
    runner
        .run(&(first, prop::collection::vec((actor, act()), 5..30)), |(first, acts)| {
            let done = runtime.block_on(live(&world, &people, &first, &acts));
            allowed.set(allowed.get() + done);
            Ok(())
        })
        .unwrap();
    assert!(allowed.get() > 30, "this shows something only if something is allowed");
    drop(people);
    runtime.block_on(async move { drop(world) });
}
