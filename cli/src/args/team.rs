//! Teams: members, invitations, roles, what was done and sent there.

use clap::{ArgGroup, Args};

/// List teams; create, rename, leave, transfer, delete or restore one
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").args(["create", "rename", "leave", "transfer", "delete", "restore", "deleted"])),
    after_help = "\
Examples:
  restroy teams
  restroy teams --create Sales
  restroy teams --rename Sales --to \"Sales and support\"
  restroy teams --transfer Sales --to bob@example.com
  restroy teams --delete Sales                    asks for its name; --restore brings it back for 30 days"
)]
pub(crate) struct Teams {
    /// Make a team of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) create: Option<String>,
    /// Rename this team to --to
    #[arg(long, value_name = "TEAM", requires = "to")]
    pub(crate) rename: Option<String>,
    /// Leave this team
    #[arg(long, value_name = "TEAM")]
    pub(crate) leave: Option<String>,
    /// Transfer this team to the member of --to; you become an admin
    #[arg(long, value_name = "TEAM", requires = "to")]
    pub(crate) transfer: Option<String>,
    /// Delete this team with all that is in it
    #[arg(long, value_name = "TEAM")]
    pub(crate) delete: Option<String>,
    /// Restore a deleted team
    #[arg(long, value_name = "TEAM")]
    pub(crate) restore: Option<String>,
    /// List the deleted teams that you can restore
    #[arg(long)]
    pub(crate) deleted: bool,
    /// The new name, or the member's e-mail address
    #[arg(long, value_name = "NAME|EMAIL")]
    pub(crate) to: Option<String>,
    /// With --delete: do not ask
    #[arg(long, requires = "delete")]
    pub(crate) yes: bool,
}

/// Show a team's storage and recent usage
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy usage
  restroy usage --team Sales")]
pub(crate) struct Usage {
    /// The team's name or id [default: your only team]
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<String>,
}

/// List a team's members; invite or remove one, or change a role
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").args(["invite", "change", "remove"])),
    after_help = "\
Examples:
  restroy members --team Sales
  restroy members --invite bob@example.com --role editor
  restroy members --change bob@example.com --role viewer
  restroy members --board Reports --change bob@example.com --role editor    on that board only
  restroy members --remove bob@example.com"
)]
pub(crate) struct Members {
    /// The team's name or id [default: your only team]
    #[arg(long, value_name = "NAME", conflicts_with = "board")]
    pub(crate) team: Option<String>,
    /// The roles on this board, in place of those in the team
    #[arg(long, value_name = "NAME")]
    pub(crate) board: Option<String>,
    /// Invite whoever has this address
    #[arg(long, value_name = "EMAIL", requires = "role")]
    pub(crate) invite: Option<String>,
    /// Change this member's role to --role
    #[arg(long, value_name = "EMAIL", requires = "role")]
    pub(crate) change: Option<String>,
    /// Remove this member
    #[arg(long, value_name = "EMAIL")]
    pub(crate) remove: Option<String>,
    /// The role: owner, admin, editor, operator, viewer, or one of the team's own
    #[arg(long, value_name = "ROLE", requires = "what")]
    pub(crate) role: Option<String>,
}

/// List the pending invitations for you, or those of a team; answer or revoke one
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["accept", "decline", "revoke"])))]
pub(crate) struct Invitations {
    /// Those that this team sent
    #[arg(long, value_name = "NAME", conflicts_with_all = ["accept", "decline"])]
    pub(crate) team: Option<String>,
    /// Join the team, by the invitation's id or the token from the e-mail
    // Base64url: one in 64 begins with a dash.
    #[arg(long, value_name = "ID|TOKEN", allow_hyphen_values = true)]
    pub(crate) accept: Option<String>,
    /// Decline this invitation
    #[arg(long, value_name = "ID")]
    pub(crate) decline: Option<String>,
    /// Revoke this invitation of the team
    #[arg(long, value_name = "ID")]
    pub(crate) revoke: Option<String>,
}

/// List a team's roles; create, change or delete a custom one
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").args(["create", "change", "delete", "permissions"])),
    after_help = "\
Examples:
  restroy roles
  restroy roles --permissions                     what roles are sets of
  restroy roles --create Releaser --allow board.read,pipeline.read,pipeline.run,run.read
  restroy roles --change Releaser --name Shipper"
)]
pub(crate) struct Roles {
    /// The team's name or id [default: your only team]
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<String>,
    /// Create a role of this name
    #[arg(long, value_name = "ROLE")]
    pub(crate) create: Option<String>,
    /// Change this role
    #[arg(long, value_name = "ROLE")]
    pub(crate) change: Option<String>,
    /// Delete this role; nobody may have it
    #[arg(long, value_name = "ROLE")]
    pub(crate) delete: Option<String>,
    /// List all permissions
    #[arg(long)]
    pub(crate) permissions: bool,
    /// All that the role allows; may be given several times, or with commas between
    #[arg(long, value_name = "PERMISSION", value_delimiter = ',')]
    pub(crate) allow: Vec<String>,
    /// With --change: another name
    #[arg(long, value_name = "NAME", requires = "change")]
    pub(crate) name: Option<String>,
    /// What the role is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}

/// Show the audit log of a team or of your account, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  restroy audit --action secret. -n 20
  restroy audit --mine                            one's own sign-ins, also those that failed
  restroy audit --team Sales --export > audit.ndjson")]
pub(crate) struct Audit {
    /// The team, by its name or id [default: your only team]
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<String>,
    /// The log of your own account
    #[arg(long, conflicts_with = "team")]
    pub(crate) mine: bool,
    /// Only actions with this prefix, such as `board.`
    #[arg(long, value_name = "TEXT")]
    pub(crate) action: Option<String>,
    /// Only what was done to this: kind and id, as the list shows it
    #[arg(long, value_name = "THING")]
    pub(crate) subject: Option<String>,
    /// Only from this day or moment on
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only before this day or moment
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
    /// All of it, as JSON, an entry a line
    #[arg(long, conflicts_with = "limit")]
    pub(crate) export: bool,
}

/// Show the e-mails that runs sent
#[derive(Debug, Args)]
pub(crate) struct Outbox {
    /// Of this team only
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<String>,
    /// How many
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
    /// The whole text of each
    #[arg(long)]
    pub(crate) full: bool,
}
