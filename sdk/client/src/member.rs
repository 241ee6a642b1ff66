//! Who is in a team and on its boards, and as what.

use reqwest::Method;

use super::{Client, Paging, Result};
use restroy_sdk::{
    api::{
        Page,
        board::BoardMember,
        team::{Member, SetRole},
    },
    ids::{BoardId, TeamId, UserId},
};

impl Client {
    /// A team's members.
    pub async fn members(&self, team: TeamId, paging: &Paging) -> Result<Page<Member>> {
        self.get(&["v1", "teams", &team.to_string(), "members"]).page(paging).fetch().await
    }

    /// A member of a team.
    pub async fn member(&self, team: TeamId, user: UserId) -> Result<Member> {
        self.get(&["v1", "teams", &team.to_string(), "members", &user.to_string()]).fetch().await
    }

    /// Gives a member another role.
    pub async fn set_role(&self, team: TeamId, user: UserId, role: &str) -> Result<Member> {
        let body = SetRole { role: role.to_owned() };
        let path = ["v1", "teams", &team.to_string(), "members", &user.to_string()];
        self.request(Method::PATCH, &path).json(&body)?.fetch().await
    }

    /// Removes a member from a team.
    pub async fn remove_member(&self, team: TeamId, user: UserId) -> Result<()> {
        self.request(Method::DELETE, &["v1", "teams", &team.to_string(), "members", &user.to_string()]).done().await
    }

    /// Those who have a role on a board.
    pub async fn board_members(&self, board: BoardId, paging: &Paging) -> Result<Page<BoardMember>> {
        self.get(&["v1", "boards", &board.to_string(), "members"]).page(paging).fetch().await
    }

    /// Gives a member of the team a role on a board.
    pub async fn set_board_role(&self, board: BoardId, user: UserId, role: &str) -> Result<BoardMember> {
        let body = SetRole { role: role.to_owned() };
        let path = ["v1", "boards", &board.to_string(), "members", &user.to_string()];
        self.request(Method::PUT, &path).json(&body)?.fetch().await
    }

    /// Takes somebody's role on a board away.
    pub async fn remove_board_member(&self, board: BoardId, user: UserId) -> Result<()> {
        self.request(Method::DELETE, &["v1", "boards", &board.to_string(), "members", &user.to_string()]).done().await
    }
}
