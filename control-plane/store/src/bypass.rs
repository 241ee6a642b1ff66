//! Who goes by row-level security within a team: a transaction of one team that acts as `restroy_system`, which sees
//! all of them, so that nothing but the conditions of its statements keeps the teams apart. Each reason is named here,
//! and a transaction of that kind is made with one of them: the compiler lists who does it (find the uses of the
//! variant); a test complains of a reason that nobody has any more.

/// Why a transaction within a team goes by row-level security.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bypass {
    /// Tokens and service accounts of a team are rows of accounts, which belong to no team: they are read, made and
    /// ended with what the team has of them.
    AccountsOfTeam,
    /// An invitation is made together with its e-mail, which is the installation's own and has no team.
    InvitationMail,
    /// What a member may is changed together with the tokens of the account that end by it, and the e-mail that
    /// describes it.
    MemberChange,
    /// Somebody enters, or declines, a team that they are not in yet.
    Joining,
    /// An account is deleted, and leaves all its teams in one transaction.
    LeavingAll,
    /// What an executor holds is counted over all teams.
    ExecutorSlots,
}
